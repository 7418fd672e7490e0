#include "eval/report/row_statistics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "strategies/strategy.h"

namespace skipbench {
namespace {

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// Standard deviation with `lost` degrees of freedom: 0 of all there are, 1 of a sample.
double deviation_of(std::span<const double> values, double lost) {
  const double mean = mean_of(values), count = static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return count > lost ? std::sqrt(squares / (count - lost)) : 0;
}

// label -> group, of the strategies that were expanded into seeds.
std::map<std::string, std::string> groups_of(const ResultTable& table) {
  std::map<std::string, std::string> groups;
  for (const StoredStrategy& strategy : table.config.strategies) {
    if (!strategy.group.empty()) groups[strategy.label] = strategy.group;
  }
  return groups;
}

using OptionalField = std::optional<double> TableRow::*;

constexpr OptionalField kMeans[] = {&TableRow::timed_layers,
                                    &TableRow::total_per_second,
                                    &TableRow::decode_per_second,
                                    &TableRow::decode_spread,
                                    &TableRow::speedup,
                                    &TableRow::total_speedup,
                                    &TableRow::bound,
                                    &TableRow::first_token_ms,
                                    &TableRow::step_p50_ms,
                                    &TableRow::step_p90_ms,
                                    &TableRow::step_p95_ms,
                                    &TableRow::step_p99_ms,
                                    &TableRow::exit_test_share,
                                    &TableRow::natural_decode_per_second,
                                    &TableRow::natural_batch,
                                    &TableRow::cache_mib,
                                    &TableRow::needed_mib,
                                    &TableRow::memory_saved,
                                    &TableRow::joules_per_token,
                                    &TableRow::peak_memory_mib,
                                    &TableRow::sm_clock_mhz,
                                    &TableRow::memory_clock_mhz,
                                    &TableRow::temperature_c,
                                    &TableRow::power_watts,
                                    &TableRow::output_difference,
                                    &TableRow::differs_from_full};

std::vector<double> values_of(std::span<const TableRow* const> rows, OptionalField field) {
  std::vector<double> values;
  for (const TableRow* row : rows) {
    if (row->*field) values.push_back(*(row->*field));
  }
  return values;
}

void fold_layers(TableRow& folded, std::span<const TableRow* const> rows) {
  if (!folded.layers) return;
  LayerStatistics sum;
  double batches = 0;
  sum.text_low = folded.layers->text_low;
  for (const TableRow* row : rows) {
    if (!row->layers) continue;
    const double share = 1.0 / static_cast<double>(rows.size());
    sum.mean += share * row->layers->mean;
    sum.deviation += share * row->layers->deviation;
    sum.text_deviation += share * row->layers->text_deviation;
    sum.text_low = std::min(sum.text_low, row->layers->text_low);
    sum.text_high = std::max(sum.text_high, row->layers->text_high);
    if (!row->layers->in_batch) continue;
    sum.in_batch = sum.in_batch.value_or(0) + *row->layers->in_batch;
    ++batches;
  }
  if (sum.in_batch) *sum.in_batch /= batches;
  folded.layers = sum;
}

void fold_drift(TableRow& folded, std::span<const TableRow* const> rows) {
  for (const auto field : {&TableRow::layer_cosine, &TableRow::layer_norm_ratio}) {
    std::vector<double>& means = folded.*field;
    for (size_t layer = 0; layer < means.size(); ++layer) {
      double sum = 0;
      for (const TableRow* row : rows) {
        sum += layer < (row->*field).size() ? (row->*field)[layer] : means[layer];
      }
      means[layer] = sum / static_cast<double>(rows.size());
    }
  }
  folded.steps.clear();
  for (const TableRow* row : rows) add_steps(folded.steps, row->steps);
}

void fold_machines(TableRow& folded, std::span<const TableRow* const> rows) {
  for (const auto field : {&TableRow::scored_on, &TableRow::timed_on}) {
    std::set<size_t> all;
    for (const TableRow* row : rows) all.insert((row->*field).begin(), (row->*field).end());
    (folded.*field).assign(all.begin(), all.end());
  }
  std::set<std::string> names;
  for (const TableRow* row : rows) {
    if (!row->machine.empty()) names.insert(row->machine);
  }
  folded.machine = fmt::format("{}", fmt::join(names, "; "));
}

// Each seed may have an adapter of its own.
void fold_weights(TableRow& folded, std::span<const TableRow* const> rows) {
  std::vector<std::string> adapters, types;
  const auto add_new = [](std::vector<std::string>& list, const std::string& text) {
    if (!text.empty() && std::find(list.begin(), list.end(), text) == list.end()) {
      list.push_back(text);
    }
  };
  for (const TableRow* row : rows) {
    add_new(adapters, row->adapter);
    add_new(types, row->weights);
    folded.has_adapter = folded.has_adapter && row->has_adapter;
    folded.is_untrained = folded.is_untrained || row->is_untrained;
  }
  folded.adapter = fmt::format("{}", fmt::join(adapters, "; "));
  folded.weights = fmt::format("{}", fmt::join(types, "; "));
}

TableRow fold(const std::string& group, std::span<const TableRow* const> rows) {
  for (const TableRow* row : rows) {
    if (row->status == cell_status::kDone) continue;
    TableRow failed = *row;
    failed.strategy = group;
    return failed;
  }
  TableRow folded = *rows.front();
  folded.strategy = group;
  folded.seeds = std::ssize(rows);
  folded.calibration.reset();
  // Intervals are of one run's repetitions.
  for (const OptionalField field :
       {&TableRow::paired_speedup, &TableRow::paired_total_speedup, &TableRow::speedup_low,
        &TableRow::speedup_high, &TableRow::total_speedup_low, &TableRow::total_speedup_high}) {
    (folded.*field).reset();
  }
  fold_layers(folded, rows);
  fold_drift(folded, rows);
  fold_machines(folded, rows);
  fold_weights(folded, rows);
  for (const TableRow* row : rows) {
    folded.longest_skipped_run = std::max(folded.longest_skipped_run, row->longest_skipped_run);
    if (row->clock_reasons) {
      folded.clock_reasons = folded.clock_reasons.value_or(0) | *row->clock_reasons;
    }
    folded.foreign_processes = std::max(folded.foreign_processes, row->foreign_processes);
    folded.foreign_memory_bytes = std::max(folded.foreign_memory_bytes, row->foreign_memory_bytes);
  }
  for (const OptionalField field : kMeans) {
    const std::vector<double> values = values_of(rows, field);
    if (!values.empty()) folded.*field = mean_of(values);
  }
  const std::vector<double> speedups = values_of(rows, &TableRow::speedup);
  if (!speedups.empty()) folded.speedup_deviation = deviation_of(speedups, 1);
  for (size_t i = 0; i < folded.scores.size(); ++i) {
    std::vector<double> values;
    for (const TableRow* row : rows) {
      if (i < row->scores.size()) values.push_back(row->scores[i].value);
    }
    folded.scores[i].value = mean_of(values);
    folded.scores[i].deviation = deviation_of(values, 1);
  }
  return folded;
}

}  // namespace

LayerStatistics layer_statistics(std::span<const OutputRecord> outputs) {
  std::vector<double> steps, texts;
  std::map<int64_t, std::vector<double>> batches;
  for (const OutputRecord& output : outputs) {
    if (output.layers.size() < 2) continue;
    const auto decoded = std::span(output.layers).subspan(1);
    steps.insert(steps.end(), decoded.begin(), decoded.end());
    texts.push_back(mean_of(decoded));
    batches[output.batch_index].push_back(texts.back());
  }
  LayerStatistics statistics{.mean = mean_of(steps), .deviation = deviation_of(steps, 0)};
  if (texts.empty()) return statistics;
  statistics.text_deviation = deviation_of(texts, 0);
  statistics.text_low = *std::min_element(texts.begin(), texts.end());
  statistics.text_high = *std::max_element(texts.begin(), texts.end());
  std::vector<double> ranges;
  for (const auto& [index, rows] : batches) {
    if (rows.size() < 2) continue;
    const auto [low, high] = std::minmax_element(rows.begin(), rows.end());
    ranges.push_back(*high - *low);
  }
  if (!ranges.empty()) statistics.in_batch = mean_of(ranges);
  return statistics;
}

bool has_target(const TableRow& row) {
  if (row.target != 1 || row.strategy_name == "full") return true;
  const auto known = strategy_table();
  return std::ranges::none_of(known, [&](const StrategyInfo& info) {
    return info.name == row.strategy_name && !info.uses_target;
  });
}

void fold_seeds(ResultTable& table) {
  const auto groups = groups_of(table);
  if (groups.empty()) return;
  std::vector<TableRow> rows;
  std::vector<bool> taken(table.rows.size());
  for (size_t i = 0; i < table.rows.size(); ++i) {
    if (taken[i]) continue;
    const TableRow& first = table.rows[i];
    const auto group = groups.find(first.strategy);
    if (group == groups.end()) {
      rows.push_back(first);
      continue;
    }
    std::vector<const TableRow*> members;
    for (size_t j = i; j < table.rows.size(); ++j) {
      const TableRow& other = table.rows[j];
      const auto its_group = groups.find(other.strategy);
      const bool same = its_group != groups.end() && its_group->second == group->second &&
                        other.target == first.target && other.dataset == first.dataset &&
                        other.batch == first.batch;
      if (!same) continue;
      taken[j] = true;
      members.push_back(&other);
    }
    rows.push_back(fold(group->second, members));
  }
  table.rows = std::move(rows);
}

}  // namespace skipbench
