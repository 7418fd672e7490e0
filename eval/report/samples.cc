#include "eval/report/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "eval/report/layout.h"

namespace skipbench {
namespace {

// Whether the rows that a row stands for are runs with different adapters; else seeds.
bool is_of_training_runs(const TableRow& row, const StoredConfig& config) {
  return std::ranges::any_of(config.strategies, [&](const StoredStrategy& strategy) {
    return strategy.group == row.strategy && strategy.label.starts_with(strategy.group + " run ");
  });
}

std::string output_name(const TableRow& row, const StoredConfig& config) {
  const std::string name =
      row.target == 1 ? row.strategy : fmt::format("{} {:g}x", row.strategy, row.target);
  if (row.seeds == 1) return name;
  return fmt::format("{} (first of {} {})", name, row.seeds,
                     is_of_training_runs(row, config) ? "training runs" : "seeds");
}

class Sampler {
 public:
  Sampler(ResultStore& store, const StoredConfig& config, int64_t count, std::string baseline)
      : store_(store), config_(config), count_(count), baseline_(std::move(baseline)) {}

  void add(const TableRow& row) {
    if (!cells_.insert(row.quality_cell).second) return;
    const std::vector<OutputRecord> outputs = store_.outputs(row.quality_cell);
    if (chosen_.empty()) choose(outputs);
    for (const OutputRecord& output : outputs) {
      const auto found = chosen_.find(output.index);
      if (found == chosen_.end()) continue;
      SampleExample& example = found->second;
      example.dataset = row.dataset;
      example.index = output.index;
      example.references = output.references;
      const std::vector<LayersPerToken> layers = {output.layers};
      example.outputs.push_back({output_name(row, config_), output.text, realised_budget(layers),
                                 row.strategy == baseline_});
    }
  }

  std::vector<SampleExample> take() {
    std::vector<SampleExample> examples;
    for (auto& [index, example] : chosen_) examples.push_back(std::move(example));
    chosen_.clear();
    return examples;
  }

 private:
  void choose(const std::vector<OutputRecord>& outputs) {
    const auto available = std::ssize(outputs);
    const int64_t count = std::min(count_, available);
    for (int64_t i = 0; i < count; ++i) chosen_[outputs[i * available / count].index];
  }

  ResultStore& store_;
  const StoredConfig& config_;
  int64_t count_;
  std::string baseline_;
  std::set<int64_t> cells_;
  std::map<int64_t, SampleExample> chosen_;  // by index; of one data set at a time
};

}  // namespace

std::vector<SampleExample> sample_outputs(ResultStore& store, const ResultTable& table,
                                          int64_t count, const std::string& baseline) {
  std::vector<SampleExample> examples;
  Sampler sampler(store, table.config, count, baseline);
  for (const std::string& dataset : datasets_of(table)) {
    for (const TableRow& row : table.rows) {
      // A row may not be done because its timing failed: its outputs are there all the same.
      if (row.dataset == dataset && row.layers) sampler.add(row);
    }
    for (SampleExample& example : sampler.take()) examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace skipbench
