#include "eval/report/export.h"

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "eval/probe/step_json.h"
#include "eval/report/stored_runs.h"
#include "eval/store/probes.h"
#include "eval/store/response_scores.h"
#include "eval/store/stored_json.h"

namespace skipbench {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson reference_json(const std::vector<std::string>& references) {
  return references.size() == 1 ? OrderedJson(references[0]) : OrderedJson(references);
}

// Whole numbers without a fraction, as `generate` prints them; half layers as they are.
OrderedJson layers_json(const LayersPerToken& layers) {
  OrderedJson list = OrderedJson::array();
  for (const double count : layers) {
    const bool whole = count == std::floor(count) && std::abs(count) < 1e9;
    list.push_back(whole ? OrderedJson(static_cast<int64_t>(count)) : OrderedJson(count));
  }
  return list;
}

// What metrics of responses measured on the example's reference, one entry per prefix.
OrderedJson responses_json(ResultStore& store, int64_t cell, std::span<const std::string> prefixes,
                           int64_t index) {
  OrderedJson list = OrderedJson::array();
  for (const std::string& prefix : prefixes) {
    Statement row(store.database(),
                  "SELECT tokens, nll, kl, agreeing FROM response_scores"
                  " WHERE cell_id = ? AND prefix = ? AND idx = ?");
    if (!row.bind(cell, prefix, index).step()) continue;
    list.push_back({{"prefix", prefix},
                    {"tokens", row.integer(0)},
                    {"nll", row.real(1)},
                    {"kl", row.real(2)},
                    {"top1", row.integer(3)}});
  }
  return list;
}

std::string dumped(const OrderedJson& line) {
  return line.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace

void export_outputs(ResultStore& store, bool timing,
                    const std::function<void(const std::string& line)>& write,
                    std::optional<int64_t> run) {
  // A timed output appears once per group and repetition that decoded it.
  Statement rows(store.database(),
                 "SELECT c.id, c.kind, r.strategy, r.target, r.dataset, r.batch, o.idx,"
                 " o.prompt_tokens, o.tokens, o.text, o.reference, o.layers,"
                 " s.prefill_us / s.rows, s.decode_us / s.rows, s.group_id, s.repetition, r.variant"
                 " FROM run_cells r JOIN cells c ON c.id = r.cell_id"
                 " JOIN outputs o ON o.cell_id = c.id"
                 " JOIN samples s ON s.cell_id = c.id AND s.batch_index = o.batch_index"
                 " WHERE r.run_id = ? AND (? OR c.kind = 'quality')"
                 " ORDER BY c.kind, r.ordinal, s.group_id, s.repetition, o.idx");
  rows.bind(find_run(store.database(), run), timing);
  int64_t cell = 0;
  std::vector<std::string> prefixes;  // of that cell
  while (rows.step()) {
    if (rows.integer(0) != cell) {
      cell = rows.integer(0);
      prefixes = measured_prefixes(store, cell);
    }
    OrderedJson line;
    line["cell"] = cell;
    line["kind"] = rows.text(1);
    line["strategy"] = rows.text(2);
    line["target"] = rows.real(3);
    line["dataset"] = rows.text(4);
    line["batch"] = rows.integer(5);
    if (!rows.text(16).empty()) line["variant"] = rows.text(16);
    line["index"] = rows.integer(6);
    line["prompt_tokens"] = rows.integer(7);
    line["tokens"] = stored_value<TokenIds>(store.database(), rows.text(8));
    line["text"] = rows.text(9);
    line["reference"] =
        reference_json(stored_value<std::vector<std::string>>(store.database(), rows.text(10)));
    line["layers_per_token"] =
        layers_json(stored_value<LayersPerToken>(store.database(), rows.text(11)));
    line["prefill_us"] = rows.real(12);
    line["decode_us"] = rows.real(13);
    OrderedJson scores = responses_json(store, cell, prefixes, rows.integer(6));
    if (!scores.empty()) line["reference_scores"] = std::move(scores);
    if (rows.text(1) == "timing") {
      line["group"] = rows.integer(14);
      line["repetition"] = rows.integer(15);
    }
    write(dumped(line));
  }
}

void export_drift(ResultStore& store, const std::function<void(const std::string& line)>& write,
                  std::optional<int64_t> run) {
  Statement rows(store.database(),
                 "SELECT c.id, r.strategy, r.target, r.dataset, r.variant"
                 " FROM run_cells r JOIN cells c ON c.id = r.cell_id"
                 " WHERE r.run_id = ? AND c.kind = 'quality'"
                 " ORDER BY r.ordinal");
  rows.bind(find_run(store.database(), run));
  bool found = false;
  while (rows.step()) {
    for (const std::string& prefix : measured_prefixes(store, rows.integer(0))) {
      const std::vector<StepSums> steps = stored_drift(store, rows.integer(0), prefix).steps;
      if (steps.empty()) continue;
      OrderedJson line;
      line["cell"] = rows.integer(0);
      line["strategy"] = rows.text(1);
      line["target"] = rows.real(2);
      line["dataset"] = rows.text(3);
      if (!rows.text(4).empty()) line["variant"] = rows.text(4);
      line["prefix"] = prefix;
      line["steps"] = OrderedJson::array();
      for (const StepSums& step : steps) line["steps"].push_back(step_json(mean_of(step)));
      write(dumped(line));
      found = true;
    }
  }
  if (found) return;
  throw StoreError({.what = "the results file holds no drift by step",
                    .where = store.database().path(),
                    .expected = "a data set with one of the metrics perplexity, kl and top1",
                    .hint = "a file of an older version lacks it until `skipbench run --fresh` "
                            "measures it"});
}

void export_probes(ResultStore& store, const std::function<void(const std::string& line)>& write) {
  const std::vector<ProbeRecord> records = probes(store);
  if (records.empty()) {
    throw StoreError({.what = "the results file holds no probe",
                      .where = store.database().path(),
                      .hint = "`skipbench probe ... --results FILE` keeps one"});
  }
  for (const ProbeRecord& record : records) {
    OrderedJson json;
    json["stored"] = {{"probed", record.probed},
                      {"command", record.command},
                      {"commit", record.commit},
                      {"device_name", record.device_name}};
    read_stored(store.database().path(), "probe",
                [&] { json.update(OrderedJson::parse(record.result)); });
    write(json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
  }
}

}  // namespace skipbench
