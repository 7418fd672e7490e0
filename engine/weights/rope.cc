#include "engine/weights/rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "engine/base/error.h"

namespace skipbench {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;
constexpr double kMostAttentionFactor = 1e6;  // far above any that is used; f32 holds its square

// Llama 3.1: long wavelengths are divided by the factor, short ones stay, between them a ramp.
double llama3_frequency(double frequency, const RopeScaling& scaling) {
  const double turns = static_cast<double>(scaling.original_positions) * frequency / kTwoPi;
  if (turns > scaling.high_freq_factor) return frequency;
  if (turns < scaling.low_freq_factor) return frequency / scaling.factor;
  const double smooth =
      (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

// YaRN (Peng et al. 2023, section 3.2, "NTK-by-parts"): pairs that turn often are kept, pairs that
// turn rarely interpolated; the borders are pair indices found from the number of turns.
class YarnRamp {
 public:
  YarnRamp(int dim, double theta, const RopeScaling& scaling) {
    const auto border = [&](double turns) {
      return dim * std::log(static_cast<double>(scaling.original_positions) / (turns * kTwoPi)) /
             (2 * std::log(theta));
    };
    low_ = border(scaling.beta_fast);
    high_ = border(scaling.beta_slow);
    if (scaling.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, dim - 1.0);
    if (low_ == high_) high_ += 0.001;  // as transformers: no division by zero
  }

  // Share of the interpolated frequency at pair `i`, 0 to 1.
  double interpolated(int i) const { return std::clamp((i - low_) / (high_ - low_), 0.0, 1.0); }

 private:
  double low_;
  double high_;
};

void check(const RopeScaling& scaling, int head_dim, double theta, const std::string& where) {
  const auto refuse = [&](std::string what, std::string expected, std::string got) {
    throw Error({.what = std::move(what),
                 .where = where,
                 .expected = std::move(expected),
                 .got = std::move(got)});
  };
  using Kind = RopeScaling::Kind;
  if (head_dim % 2 != 0) refuse("RoPE needs an even head size", "", std::to_string(head_dim));
  if (!std::isfinite(theta) || theta <= 0 || (scaling.kind == Kind::kYarn && theta <= 1)) {
    refuse("bad RoPE base", "a positive number (above 1 for yarn)", fmt::format("{}", theta));
  }
  if (scaling.kind == Kind::kNone) return;
  if (!std::isfinite(scaling.factor) || scaling.factor <= 0) {
    refuse("bad RoPE scaling factor", "a positive number", fmt::format("{}", scaling.factor));
  }
  if (scaling.kind == Kind::kLinear) return;
  if (scaling.original_positions <= 0) {
    refuse("bad original context length of the RoPE scaling", "a positive integer",
           std::to_string(scaling.original_positions));
  }
  if (scaling.kind == Kind::kLlama3 &&
      !(scaling.low_freq_factor > 0 && scaling.high_freq_factor > scaling.low_freq_factor)) {
    refuse("bad frequency factors of the RoPE scaling", "0 < low < high",
           fmt::format("{} and {}", scaling.low_freq_factor, scaling.high_freq_factor));
  }
  if (scaling.kind == Kind::kYarn && !(scaling.beta_slow > 0 && scaling.beta_fast > 0)) {
    refuse("bad betas of the RoPE scaling", "positive numbers",
           fmt::format("{} and {}", scaling.beta_fast, scaling.beta_slow));
  }
  if (scaling.kind == Kind::kYarn &&
      !(scaling.attention_factor > 0 && scaling.attention_factor <= kMostAttentionFactor)) {
    refuse("bad attention factor of the RoPE scaling",
           fmt::format("a positive number, at most {:g}", kMostAttentionFactor),
           fmt::format("{}", scaling.attention_factor));
  }
}

}  // namespace

RopeConfig make_rope(int head_dim, double theta, const RopeScaling& scaling,
                     const std::string& where) {
  check(scaling, head_dim, theta, where);
  RopeConfig rope;
  std::optional<YarnRamp> ramp;
  if (scaling.kind == RopeScaling::Kind::kYarn) ramp.emplace(head_dim, theta, scaling);
  for (int i = 0; i < head_dim / 2; ++i) {
    double frequency = std::pow(theta, -2.0 * i / head_dim);
    switch (scaling.kind) {
      case RopeScaling::Kind::kNone:
        break;
      case RopeScaling::Kind::kLinear:
        frequency /= scaling.factor;
        break;
      case RopeScaling::Kind::kLlama3:
        frequency = llama3_frequency(frequency, scaling);
        break;
      case RopeScaling::Kind::kYarn: {
        const double share = ramp->interpolated(i);
        frequency = frequency / scaling.factor * share + frequency * (1 - share);
        break;
      }
    }
    if (!std::isfinite(frequency)) {
      throw Error({.what = "RoPE frequencies are not finite", .where = where});
    }
    rope.inverse_frequencies.push_back(frequency);
  }
  if (scaling.kind == RopeScaling::Kind::kYarn) rope.attention_factor = scaling.attention_factor;
  return rope;
}

double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

}  // namespace skipbench
