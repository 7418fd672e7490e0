// The interface of a skipping strategy: it decides which layers run and never computes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "strategies/exit_signal.h"
#include "strategies/layer_set.h"

namespace skipbench {

// What a skipped layer leaves in the cache.
//   kAbsent:  no entry; attention takes the entries that are there.
//   kProject: key and value of the hidden state that was passed through (CALM, arXiv 2207.07061).
enum class KvPolicy { kAbsent, kProject };

// What a dynamic rule does with a row that passes its test.
enum class RuleAction { kStop, kSkipMlps };

// What rows do that are done with a layer which others of their batch still need.
//   kWait:    they go along, and their hidden states stay as they are.
//   kCompact: they leave, so that the layer runs on the others alone.
//   kAuto:    kWait where the device decides by itself, kCompact where the host does.
// A row's tokens are those that it has alone under each of them.
enum class RowsDone { kAuto, kWait, kCompact };

// A dynamic strategy's rule as data, so that a device can run it.
//   kStop: after layer `l` (0-based) with l + 1 >= min_layer, (l + 1 - min_layer) % interval == 0
//     and l < N - 1, the row's confidence is the signal of the softmax of head(final_norm(hidden)),
//     for kEntropy 1 - entropy / log(vocabulary), for kCosine the cosine of the layer's input and
//     output; the row stops when confidence > threshold(step).
//   kSkipMlps: in layers [min_layer, N - last_layers) the confidence is the cosine of the hidden
//     state before and after the MLP; once it is > threshold(step), the row skips the MLPs of the
//     later of these layers. Attention always runs. Nothing is skipped before warmup_steps.
struct SkipRule {
  RuleAction action = RuleAction::kStop;
  ExitSignal signal = ExitSignal::kSoftmaxDifference;
  int min_layer = 1;
  int interval = 1;
  double threshold_lambda = 1.0;  // >= 1 never exits: a softmax difference never exceeds 1
  // Position-decayed threshold, CALM section 3.2 as the reference code has it:
  // clip(0.9 lambda + 0.1 lambda exp(-decay_tau * step / decay_length), 0, 1); 0: constant.
  double decay_tau = 0.0;
  int decay_length = 0;  // T, max_new_tokens where nothing else is given
  int last_layers = 0;   // kSkipMlps
  int warmup_steps = 0;  // kSkipMlps
  RowsDone rows_done = RowsDone::kAuto;
  // kStop: exits that are replayed, for timing where weights have no confidence. A row stops at the
  // first test with as many layers run as its entry says (replayed_entry in exit_signal.h). What
  // the confidence takes is computed at every test all the same. Empty: the confidence decides.
  std::vector<int32_t> depths;
  std::string depths_from;  // where the list was written

  double threshold(int step) const;
  bool tests_after(int layer, int num_layers) const;  // is the test run after this layer?
  // kStop: whether text `text` stops in decoding step `step` at the test after `layers_run` layers.
  bool stops(int layers_run, int step, int64_t text, double confidence) const;
};

// Draft and check, as data: the layers of `draft` make tokens and the whole model checks them. The
// output is the whole model's.
struct Speculation {
  LayerSet draft;
  int first = 4;            // tokens drafted in a text's first round
  int most = 8;             // the number is adapted to what is accepted, up to this
  double stop_below = 0.0;  // a draft ends after a token of less probability
};

class SkipStrategy {
 public:
  virtual ~SkipStrategy() = default;

  // Layers of the prompt pass.
  virtual LayerSet prefill_layers(int num_layers) const { return LayerSet::all(num_layers); }
  // Layers of decoding step `step`: the forward pass that follows the step-th generated token,
  // from 0. A function of N, target, step and the strategy's parameters alone.
  virtual LayerSet step_layers(int num_layers, int /*step*/) const {
    return LayerSet::all(num_layers);
  }
  // Union of step_layers over all steps: a layer outside it gets no cache memory.
  virtual LayerSet any_step_layers(int num_layers) const { return step_layers(num_layers, 0); }
  // Null for an input-independent strategy.
  virtual const SkipRule* rule() const { return nullptr; }
  virtual KvPolicy kv_policy() const { return KvPolicy::kAbsent; }
  // Whether a later step may run a layer that an earlier step skipped, so that the cache needs to
  // know which entries are present.
  virtual bool sets_can_grow() const { return rule() != nullptr; }
  // [2N], attention and MLP of each layer in turn: a skipped sublayer's output is its input times
  // this. Empty: 1, the input passes through. The same for every step.
  virtual std::span<const float> skip_scales() const { return {}; }
  // Null unless tokens are drafted with few layers; prompt and steps then run all layers.
  virtual const Speculation* speculation() const { return nullptr; }
};

// A parameter's value as written, with where it was written for messages.
struct ParamValue {
  std::string text;
  std::string where;  // "configs/a.yaml:12" or "--param"
};
using StrategyParams = std::map<std::string, ParamValue>;

struct StrategySpec {
  std::string name;
  double target = 1.0;  // the asked-for speedup s
  StrategyParams params;
  std::string where;  // where the strategy was named
};

// K = max(2, floor(N / s)), the layers per token of every strategy at target s (design: "Budget");
// N = 1 gives 1. Throws Error unless 1 <= s <= max(1, N / 2).
int layer_budget(int num_layers, double target, const std::string& where = "--target");

struct ParamInfo {
  std::string name;
  std::string default_text;
  std::string range;
  std::string help;
  bool is_file = false;      // may name a file: its bytes are part of what identifies a result
  bool is_searched = false;  // `skipbench search` looks for its best value
  // A parameter beside which this one, where it is not given, is the greatest number of new tokens.
  std::string new_tokens_beside = {};
};

// A parameter that is found on a calibration split where it is not given, with a value of the right
// form that stands for it until then.
struct CalibratedParam {
  std::string name;
  std::string placeholder;
};

struct StrategyInfo {
  std::string name;
  std::string summary;
  std::string paper;
  std::string kv_policy;
  bool uses_target = true;  // `full` does not: it makes one cell whatever the targets are
  bool is_dynamic = false;  // its threshold is calibrated to the budget
  bool needs_training = false;
  std::vector<ParamInfo> params;
  std::unique_ptr<SkipStrategy> (*make)(const StrategySpec& spec, int num_layers) = nullptr;
  // Null: a dynamic strategy's `threshold`, where something is skipped; of others nothing.
  std::optional<CalibratedParam> (*calibrates)(const StrategySpec& spec, int num_layers) = nullptr;
  std::string plugin = {};  // the shared library that brought it; empty: built in
};

// The registry: one visible table (strategies/registry.cc), then those of plug-ins.
std::span<const StrategyInfo> strategy_table();

// Throws Error for an unknown name (the nearest names first).
const StrategyInfo& find_strategy(std::string_view name, const std::string& where = "--strategy");

// Builds a strategy. Throws Error for a target outside its range, an unknown parameter, or a value
// out of range, naming where it was written. A dynamic strategy at a target above 1 needs its
// `threshold` parameter (given, or put there by calibration).
std::unique_ptr<SkipStrategy> make_strategy(const StrategySpec& spec, int num_layers);

// `spec` with the parameters that follow the greatest number of new tokens per text (of early_exit
// the length of a decayed threshold), where it leaves them out. Throws Error for an unknown
// strategy.
StrategySpec with_new_tokens(StrategySpec spec, int max_new_tokens);

// What `spec` leaves to a calibration on `num_layers` layers; make_strategy refuses or, where there
// is a default, takes that without it. Throws Error as make_strategy does for the parameters read.
std::optional<CalibratedParam> param_to_calibrate(const StrategySpec& spec, int num_layers);

}  // namespace skipbench
