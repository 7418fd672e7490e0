// Checked against transformers' modeling_rope_utils.py (5.24).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/base/error.h"
#include "engine/weights/hf_config.h"
#include "engine/weights/rope.h"

namespace skipbench {
namespace {

constexpr double kDefaultTheta = 10000;  // RotaryEmbeddingConfigMixin.default_theta

// Keys that the implemented types know. Anything else (mrope_section, short_factor, a parameter set
// per layer type) means another embedding than the one computed here.
constexpr std::array<std::string_view, 16> kKnownKeys = {
    "rope_theta",       "rope_type",       "type",
    "factor",           "low_freq_factor", "high_freq_factor",
    "beta_fast",        "beta_slow",       "original_max_position_embeddings",
    "attention_factor", "mscale",          "mscale_all_dim",
    "truncate",         "finetuned",       "partial_rotary_factor",
    "_comment"};

void check_keys(const JsonObject& parameters) {
  for (const std::string& key : parameters.keys()) {
    if (parameters.is_null(key)) continue;
    if (std::find(kKnownKeys.begin(), kKnownKeys.end(), key) == kKnownKeys.end()) {
      throw Error({.what = "RoPE parameter not supported", .where = parameters.where(key)});
    }
  }
}

void refuse_partial(const JsonObject& object) {
  const double share = object.number("partial_rotary_factor").value_or(1.0);
  if (share != 1.0) {
    throw Error({.what = "partial rotary embeddings are not supported",
                 .where = object.where("partial_rotary_factor"),
                 .expected = "1.0",
                 .got = fmt::format("{}", share)});
  }
}

RopeScaling::Kind parse_kind(const JsonObject& parameters) {
  const auto type = parameters.string_of({"rope_type", "type"}).value_or("default");
  if (type == "default") return RopeScaling::Kind::kNone;
  if (type == "linear") return RopeScaling::Kind::kLinear;
  if (type == "llama3") return RopeScaling::Kind::kLlama3;
  if (type == "yarn") return RopeScaling::Kind::kYarn;
  const std::array<std::string, 4> known = {"default", "linear", "llama3", "yarn"};
  const char* key = parameters.has("rope_type") ? "rope_type" : "type";
  throw unknown_name("RoPE type", type, known, parameters.where(key));
}

double required(const JsonObject& parameters, std::string_view key) {
  const auto value = parameters.number(key);
  if (!value) throw Error({.what = "missing RoPE parameter", .where = parameters.where(key)});
  return *value;
}

void read_yarn(const JsonObject& parameters, int64_t max_positions, RopeScaling& scaling) {
  scaling.factor = parameters.number("factor").value_or(
      scaling.original_positions > 0
          ? static_cast<double>(max_positions) / static_cast<double>(scaling.original_positions)
          : 0.0);
  // Zero means "not set" here, as in transformers ("or 32").
  if (const double fast = parameters.number("beta_fast").value_or(0)) scaling.beta_fast = fast;
  if (const double slow = parameters.number("beta_slow").value_or(0)) scaling.beta_slow = slow;
  scaling.truncate = parameters.boolean("truncate").value_or(true);
  const double mscale = parameters.number("mscale").value_or(0);
  const double mscale_all_dim = parameters.number("mscale_all_dim").value_or(0);
  const double magnitude =
      mscale != 0 && mscale_all_dim != 0
          ? yarn_magnitude(scaling.factor, mscale) / yarn_magnitude(scaling.factor, mscale_all_dim)
          : yarn_magnitude(scaling.factor);
  scaling.attention_factor = parameters.number("attention_factor").value_or(magnitude);
}

}  // namespace

RopeConfig read_hf_rope(const JsonObject& config, int head_dim, int64_t max_positions) {
  refuse_partial(config);
  // transformers: rope_scaling wins over rope_parameters, and a theta inside over one outside.
  auto parameters = config.object("rope_scaling");
  const char* key = "rope_scaling";
  if (!parameters || parameters->keys().empty()) {
    parameters = config.object("rope_parameters");
    key = "rope_parameters";
  }
  double theta = config.number("rope_theta").value_or(kDefaultTheta);
  RopeScaling scaling;
  if (!parameters) return make_rope(head_dim, theta, scaling, config.where("rope_theta"));

  check_keys(*parameters);
  refuse_partial(*parameters);
  theta = parameters->number("rope_theta").value_or(theta);
  scaling.kind = parse_kind(*parameters);
  const auto outer = config.integer("original_max_position_embeddings");
  const auto inner = parameters->integer("original_max_position_embeddings");
  scaling.original_positions = outer ? *outer : inner.value_or(max_positions);
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
      break;
    case RopeScaling::Kind::kLinear:
      scaling.factor = required(*parameters, "factor");
      break;
    case RopeScaling::Kind::kLlama3:
      scaling.factor = required(*parameters, "factor");
      scaling.low_freq_factor = required(*parameters, "low_freq_factor");
      scaling.high_freq_factor = required(*parameters, "high_freq_factor");
      break;
    case RopeScaling::Kind::kYarn:
      read_yarn(*parameters, max_positions, scaling);
      break;
  }
  return make_rope(head_dim, theta, scaling, config.where(key));
}

}  // namespace skipbench
