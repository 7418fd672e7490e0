// How much memory a model needs for a batch and a context: counted from shapes, never measured.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "engine/base/dtype.h"
#include "engine/weights/weight.h"

namespace skipbench {

struct TypeCount {
  int64_t tensors = 0;
  int64_t bytes = 0;
};

// Weights by type. A tied head counts once; norms and biases count as f32, as they are held.
struct WeightCount {
  int64_t parameters = 0;
  int64_t bytes = 0;
  std::map<DType, TypeCount> matrices;
  TypeCount vectors;
};

WeightCount count_weights(const ModelWeights& weights);

struct MemoryRequest {
  int64_t batch = 1;
  int64_t context = 0;  // positions per sequence, prompt and output together
  DType dtype = DType::kF32;
  // [num_layers], whether a decoding step can read the layer's cache; empty: all of them.
  std::vector<bool> layers_kept;
  // [num_layers], whether the prefill runs the layer's attention; empty: all of them.
  std::vector<bool> layers_prefilled;
  bool with_presence = false;  // a byte per kept layer and slot: later steps may find holes
  // [2 * num_layers], attention and MLP of each layer in turn: whether the prefill or any decoding
  // step runs it; empty: all of them.
  std::vector<bool> sublayers_run;
};

struct MemoryPlan {
  int64_t weight_bytes = 0;
  // Part of weight_bytes: sublayers that no pass runs, with norms and biases. What pruning them
  // from the model would save.
  int64_t unused_weight_bytes = 0;
  int64_t kv_bytes = 0;  // keys and values of the kept layers
  int64_t transient_kv_bytes =
      0;  // one layer's prompt, where the prefill runs one that is not kept
  int64_t presence_bytes = 0;
  int64_t activation_bytes = 0;  // estimate: a prefill that packs batch * context rows
  int64_t total_bytes = 0;
};

// Throws Error when batch or context is not positive, or context passes the model's positions.
MemoryPlan plan_memory(const LoadedModel& model, const MemoryRequest& request);

}  // namespace skipbench
