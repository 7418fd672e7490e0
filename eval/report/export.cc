#include "eval/report/export.h"

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

Json reference_json(const std::string& stored) {
  Json references = Json::parse(stored);
  return references.size() == 1 ? references[0] : references;
}

// Whole numbers without a fraction, as `generate` prints them; half layers as they are.
Json layers_json(const std::string& stored) {
  Json layers = Json::parse(stored);
  for (Json& count : layers) {
    const double value = count.get<double>();
    if (value == std::floor(value)) count = static_cast<int64_t>(value);
  }
  return layers;
}

// What metrics of responses measured on the example's reference, one entry per prefix.
Json responses_json(ResultStore& store, int64_t cell, int64_t index) {
  Statement rows(store.database(),
                 // By way of layer_drift, which has a row per prefix: the key ends with idx.
                 "SELECT d.prefix, r.tokens, r.nll, r.kl, r.agreeing FROM layer_drift d"
                 " JOIN response_scores r USING(cell_id, prefix)"
                 " WHERE d.cell_id = ? AND r.idx = ? ORDER BY d.prefix");
  rows.bind(cell, index);
  Json list = Json::array();
  while (rows.step()) {
    list.push_back({{"prefix", rows.text(0)},
                    {"tokens", rows.integer(1)},
                    {"nll", rows.real(2)},
                    {"kl", rows.real(3)},
                    {"top1", rows.integer(4)}});
  }
  return list;
}

}  // namespace

void export_outputs(ResultStore& store, bool timing,
                    const std::function<void(const std::string& line)>& write) {
  // A timed output appears once per group and repetition that decoded it.
  Statement rows(store.database(),
                 "SELECT c.id, c.kind, r.strategy, r.target, r.dataset, r.batch, o.idx,"
                 " o.prompt_tokens, o.tokens, o.text, o.reference, o.layers,"
                 " s.prefill_us / s.rows, s.decode_us / s.rows, s.group_id, s.repetition, r.variant"
                 " FROM run_cells r JOIN cells c ON c.id = r.cell_id"
                 " JOIN outputs o ON o.cell_id = c.id"
                 " JOIN samples s ON s.cell_id = c.id AND s.batch_index = o.batch_index"
                 " WHERE r.run_id = (SELECT max(id) FROM runs) AND (? OR c.kind = 'quality')"
                 " ORDER BY c.kind, r.ordinal, s.group_id, s.repetition, o.idx");
  rows.bind(timing);
  while (rows.step()) {
    Json line;
    line["cell"] = rows.integer(0);
    line["kind"] = rows.text(1);
    line["strategy"] = rows.text(2);
    line["target"] = rows.real(3);
    line["dataset"] = rows.text(4);
    line["batch"] = rows.integer(5);
    if (!rows.text(16).empty()) line["variant"] = rows.text(16);
    line["index"] = rows.integer(6);
    line["prompt_tokens"] = rows.integer(7);
    line["tokens"] = Json::parse(rows.text(8));
    line["text"] = rows.text(9);
    line["reference"] = reference_json(rows.text(10));
    line["layers_per_token"] = layers_json(rows.text(11));
    line["prefill_us"] = rows.real(12);
    line["decode_us"] = rows.real(13);
    if (Json scores = responses_json(store, rows.integer(0), rows.integer(6)); !scores.empty()) {
      line["reference_scores"] = std::move(scores);
    }
    if (rows.text(1) == "timing") {
      line["group"] = rows.integer(14);
      line["repetition"] = rows.integer(15);
    }
    write(line.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

}  // namespace skipbench
