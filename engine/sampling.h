// How the next token is chosen: the most probable one, or one drawn from the softmax. Draws are
// argmax of logit / temperature + Gumbel noise (Gumbel 1954; Maddison et al., arXiv 1411.0030), and
// the noise is a function of (seed, text, position, token id) alone. So a text's draws do not depend
// on its batch, and a drafting and a checking pass at one place share them: speculative decoding
// gives token for token what decoding without it gives (Daliri et al., arXiv 2408.07978).
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/mix_bits.h"

namespace skipbench {

struct Sampling {
  double temperature = 0;  // 0: greedy
  int top_k = 0;           // the largest logits that may be drawn, with ties of the last; 0: all
  uint64_t seed = 0;

  constexpr bool is_greedy() const { return temperature == 0; }
  bool operator==(const Sampling&) const = default;
};

// Throws Error naming `where` for a temperature or top_k out of range.
void check_sampling(const Sampling& sampling, const std::string& where);

// Of all the noise at one place: `text` tells the texts of a run apart, `position` is the place of
// the token that goes in.
constexpr uint64_t noise_stream(uint64_t seed, int32_t text, int32_t position) {
  const uint64_t run = mix_bits(seed + kMixStep);
  const uint64_t of_text = mix_bits(run ^ static_cast<uint32_t>(text)) + kMixStep;
  return mix_bits(of_text ^ static_cast<uint32_t>(position)) + kMixStep;
}

// Uniform in (0, 1), finer towards 0: the noise -log(-log(1 - u)) of its smallest value, 2^-33, is
// 22.9, so that a token of probability 1e-9 is still drawn about as often as it should be.
constexpr float noise_uniform(uint64_t stream, int64_t id) {
  const uint64_t bits = mix_bits(stream + static_cast<uint64_t>(id) * kMixStep) >> 32;
  const float u = static_cast<float>(bits) * 0x1p-32f + 0x1p-33f;
  return u < 1.0f ? u : 1.0f - 0x1p-24f;
}

}  // namespace skipbench
