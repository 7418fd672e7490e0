// The bound of a speedup: how much faster a decoding step could be if every operation ran at the
// peak that was measured on this machine (design: "Measurement"). Only what must move or be
// multiplied counts: weights, cache, activations between operations; no overhead, no element-wise
// arithmetic.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/decoder.h"
#include "engine/weights/weight.h"
#include "strategies/strategy.h"

namespace skipbench {

struct MeasuredPeaks {
  double read_bytes_per_second = 0;
  double flops_per_second = 0;
};

// One decoding step of `rows` sequences, each with `context` positions to attend to.
struct StepShape {
  int64_t rows = 1;
  double context = 0;  // mean over the measured steps
};

class CostModel {
 public:
  CostModel(const LoadedModel& model, DType activations, MeasuredPeaks peaks, StepShape shape);

  // Seconds of one step that runs `layers`, the embedding and the head included. Under kProject
  // the keys and values of skipped layers are still computed.
  double step_seconds(const LayerSet& layers, KvPolicy kv) const;

  // Mean over the `steps` first steps of an input-independent strategy.
  double static_seconds(const SkipStrategy& strategy, int steps) const;

  // Mean over decoding steps that were run under `rule`: `layers` as counted, and the mean number
  // of exit tests per token. Under kStop the layers of a token are the first ones; a test evaluates
  // the head, and a token that exits needs no other evaluation, but kCosine compares states alone.
  // Under kSkipMlps a token lacks MLPs, of the mean cost. Rows of a batch that differ share less
  // than is counted here, so this stays a lower bound.
  double dynamic_seconds(std::span<const LayersPerToken> layers, double exit_tests_per_token,
                         const SkipRule& rule, KvPolicy kv) const;

 private:
  struct LayerSeconds {
    double attention = 0, mlp = 0, key_value_projection = 0;
  };

  double seconds_without_mlps(std::span<const LayersPerToken> layers, KvPolicy kv) const;

  std::vector<LayerSeconds> layers_;
  double embed_seconds_ = 0;
  double head_seconds_ = 0;
};

}  // namespace skipbench
