// Rotary embedding frequencies with the scalings that transformers and llama.cpp know.
#pragma once

#include <cstdint>
#include <string>

#include "engine/model_config.h"

namespace skipbench {

struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3, kYarn };
  Kind kind = Kind::kNone;
  double factor = 1;
  int64_t original_positions = 0;  // context length before scaling (llama3, yarn)
  double low_freq_factor = 1;      // llama3
  double high_freq_factor = 4;     // llama3
  double beta_fast = 32;           // yarn
  double beta_slow = 1;            // yarn
  bool truncate = true;            // yarn: the corrected range begins and ends at whole pairs
  double attention_factor = 1;     // yarn
};

// Frequencies of `head_dim` / 2 pairs for base `theta`. Throws Error naming `where` when a value
// makes no frequencies (odd head_dim, non-positive theta or factor, empty ranges).
RopeConfig make_rope(int head_dim, double theta, const RopeScaling& scaling,
                     const std::string& where);

// YaRN's scale of cos and sin for a stretched context (paper, section 3.4): 0.1 m ln(factor) + 1.
double yarn_magnitude(double factor, double mscale = 1);

}  // namespace skipbench
