// A sweep's configuration: what the YAML says, with defaults filled in.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "engine/base/dtype.h"
#include "engine/beam_options.h"
#include "engine/sampling.h"
#include "eval/metrics/metric_options.h"
#include "strategies/strategy.h"

namespace skipbench {

constexpr const char* kNoAdapter = "none";

// A path with {strategy}, {target} and {seed}; empty: not given, kNoAdapter: the model itself.
struct AdapterPattern {
  std::string text;
  std::string where;
};

struct ModelSection {
  std::string path;  // with ${} replaced
  std::string where;
  std::string dtype_name;
  DType dtype = DType::kF32;
  std::string tokenizer;  // empty: the model's own
  std::string tokenizer_where;
  int threads = 0;
  AdapterPattern adapter;
};

struct MetricSpec {
  std::string name;
  MetricOptions options;
  std::string where;
};

// Where the configuration names a file.
struct FilePlace {
  std::string path;
  std::string where;
};

struct CalibrationSection {
  std::optional<DataFiles> files;  // none: the same files, after the evaluated lines
  std::vector<FilePlace> places;
  int64_t limit = 32;
  std::string where;
};

struct DatasetSection {
  std::string name;
  std::string where;
  std::string task;
  std::string language;  // of the references; empty: seen from them
  DataFiles files;
  std::vector<FilePlace> places;
  int64_t limit = 0;  // 0: all
  std::string prompt;
  std::string prompt_where;
  std::string instruction;
  std::string chat_template;  // empty: none
  std::string chat_template_where;
  std::string system;        // message of the chat template; empty: the template's own default
  bool add_special = false;  // the tokenizer's own BOS and EOS around a prompt
  std::vector<std::string> stop;
  std::vector<std::string> post;
  std::vector<MetricSpec> metrics;
  CalibrationSection calibration;
};

struct StrategySection {
  std::string name;
  std::string label;
  std::string where;
  int64_t seeds = 1;
  std::string seeds_where;
  std::string group;  // label of the row that its seeds or training runs share; empty: it is alone
  StrategyParams params;
  std::vector<double> targets;  // its own, or the common ones; {1} where it uses none
  std::string targets_where;
  AdapterPattern adapter;
  std::vector<AdapterPattern> adapters;  // of its training runs; `adapter` is this run's
};

struct TimingSection {
  int repetitions = 3;
  int warmup = 1;
  int new_tokens = 32;
  int64_t prompts = 0;  // a multiple of every batch size
  std::string where;
};

// Cells to leave out: those that have one of the values of each list that is not empty.
struct ExcludeRule {
  std::string where;
  std::vector<std::string> strategies, datasets, models, adapters, devices, dtypes;
  std::vector<double> targets;
  std::vector<int64_t> batch_sizes, beams, seeds;
};

struct SweepConfig {
  std::string path;
  std::string name;
  std::string variant;  // "dtype=f16, seed=2": the point of the matrix; empty: there is but one
  std::string results;
  std::string device, device_where;
  int64_t seed = 0;
  ModelSection model;
  std::vector<DatasetSection> datasets;
  int max_new_tokens = 64;
  BeamOptions beams;
  std::string beams_where;
  Sampling sampling;
  std::vector<StrategySection> strategies;
  std::vector<int64_t> batch_sizes;  // ascending order is not needed; the first is the reference
  TimingSection timing;
  std::vector<ExcludeRule> exclude;

  // Whether a rule leaves out the cell; `batch`: of a timed one. A cell of quality is left out only
  // by rules without batch sizes.
  bool excludes(const std::string& strategy, double target, const std::string& dataset,
                std::optional<int64_t> batch = std::nullopt) const;
  bool excludes_all() const;  // a rule leaves out this point of the matrix
  int64_t largest_batch() const;
};

// Reads and checks all that can be checked without opening other files: keys, types, ranges, names
// of strategies and metrics. Throws Error with file:line and the key path, and for a matrix of more
// than one point. `overrides` are --set's.
SweepConfig load_sweep_config(const std::string& path, std::span<const std::string> overrides = {});

// Index of the data set that --dataset names; an empty name: the first. Throws Error for an unknown
// one.
size_t find_dataset(const SweepConfig& config, const std::string& name);

// A configuration for every point of its matrix, but for those that `exclude` leaves out; without a
// matrix one. Throws as above, and where nothing is left.
std::vector<SweepConfig> load_sweep_variants(const std::string& path,
                                             std::span<const std::string> overrides = {});

// The configuration with every default written out, for the store.
nlohmann::json resolved_json(const SweepConfig& config);

}  // namespace skipbench
