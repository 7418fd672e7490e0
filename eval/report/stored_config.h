// What a report needs of a run's resolved configuration (eval/sweep/config_json.cc), read once.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "datasets/dataset.h"
#include "eval/metrics/metric_options.h"

namespace skipbench {

struct StoredDataset {
  std::string name;
  std::vector<std::pair<std::string, MetricOptions>> metrics;  // name -> settings
  DataFiles files;
};

struct StoredStrategy {
  std::string label;
  std::string group;    // of labels that differ in their seed alone; "" of the others
  std::string adapter;  // pattern of its own; "" where the model's common one is taken
  std::string depths;   // where its exits are replayed from; "" where confidence decides
  std::vector<double> targets;
};

struct StoredConfig {
  std::string name;
  std::string dtype;
  std::string adapter;  // pattern
  int64_t seed = 0;
  double temperature = 0;  // 0: greedy
  int top_k = 0;           // 0: all tokens
  int beams = 1;           // more: of a beam search, with these settings
  double length_penalty = 1;
  std::string early_stopping = "false";
  int no_repeat_ngram = 0;
  std::vector<StoredDataset> datasets;
  std::vector<StoredStrategy> strategies;
};

// `json`: runs.config of the results file `where`. What it lacks keeps its default (older
// versions knew fewer keys). Throws StoreError for text that is no JSON object and for values of
// another type: the file may come from anywhere.
StoredConfig read_stored_config(const std::string& json, const std::string& where);

}  // namespace skipbench
