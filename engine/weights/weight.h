// Weights as the files hold them: typed, shaped views of mapped or owned memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/dtype.h"
#include "engine/model_config.h"

namespace skipbench {

// Random elements that a device makes for itself (engine/weights/random_fill.h): element i of the
// matrix that begins at `begin` is unit_normal(stream, i) * deviation.
struct RandomFill {
  const std::byte* begin = nullptr;  // null: the bytes are in host memory
  uint64_t stream = 0;
  float deviation = 0;
};

// A matrix [rows, cols] (rows are outputs), rows contiguous, no padding. Data is not owned and has
// no more alignment than the file gives it.
struct Weight {
  std::string name;  // as in the file, for messages
  DType type = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;
  // Where it has a begin, `data` is an address without contents: a name, never to be read.
  RandomFill fill = {};

  bool empty() const { return data == nullptr; }
  int64_t bytes() const { return rows * bytes_of(type, cols); }
};

// Norm gains and biases: small, so they are converted to f32 at load.
using Vector = std::vector<float>;

// One or more matrices that share their input; their outputs stand one after another.
struct Projection {
  std::vector<Weight> parts;  // each [rows_i, cols]
  Vector bias;                // [sum of rows_i], empty: none

  int64_t rows() const {
    int64_t sum = 0;
    for (const Weight& part : parts) sum += part.rows;
    return sum;
  }
  int64_t cols() const { return parts.empty() ? 0 : parts.front().cols; }
};

struct NormWeights {
  Vector gain;  // [size]
  Vector bias;  // [size], empty for RMSNorm
};

struct LayerWeights {
  NormWeights attention_norm;   // [hidden]
  Projection qkv;               // [qkv_rows, hidden]; one fused part or three
  NormWeights query_norm;       // [head_dim], empty without qk_norm
  NormWeights key_norm;         // [head_dim], empty without qk_norm
  Projection attention_output;  // [hidden, num_heads * head_dim]
  NormWeights mlp_norm;         // [hidden]
  Projection up;                // kGated: parts {gate, up}, each [intermediate, hidden];
                                // kPlain: one part [intermediate, hidden]
  Projection down;              // [hidden, intermediate]
};

struct ModelWeights {
  Weight embedding;            // [vocab, hidden]
  NormWeights embedding_norm;  // [hidden], empty unless config.embedding_norm
  std::vector<LayerWeights> layers;
  NormWeights final_norm;  // [hidden]
  Projection head;         // [vocab, hidden]; the embedding when tied
};

// A model as loaded: description, weights, and what keeps their memory alive.
struct LoadedModel {
  ModelConfig config;
  ModelWeights weights;
  std::string path;                                  // as the user named it
  int64_t file_bytes = 0;                            // 0 for a synthetic model
  std::vector<std::shared_ptr<const void>> storage;  // mapped files or owned buffers
};

}  // namespace skipbench
