#include "eval/report/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "eval/report/layout.h"

namespace skipbench {
namespace {

std::string output_name(const TableRow& row) {
  const std::string name =
      row.target == 1 ? row.strategy : fmt::format("{} {:g}x", row.strategy, row.target);
  return row.seeds > 1 ? fmt::format("{} (first of {} seeds)", name, row.seeds) : name;
}

class Sampler {
 public:
  Sampler(ResultStore& store, int64_t count, std::string baseline)
      : store_(store), count_(count), baseline_(std::move(baseline)) {}

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
      example.outputs.push_back(
          {output_name(row), output.text, realised_budget(layers), row.strategy == baseline_});
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
  int64_t count_;
  std::string baseline_;
  std::set<int64_t> cells_;
  std::map<int64_t, SampleExample> chosen_;  // by index; of one data set at a time
};

}  // namespace

std::vector<SampleExample> sample_outputs(ResultStore& store, const ResultTable& table,
                                          int64_t count, const std::string& baseline) {
  std::vector<SampleExample> examples;
  Sampler sampler(store, count, baseline);
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
