// `normalizer` and `pre_tokenizer` of a tokenizer.json:
// https://huggingface.co/docs/tokenizers/api/pre-tokenizers
#include <fmt/format.h>

#include <array>

#include "engine/base/error.h"
#include "engine/tokenizer/loaders.h"
#include "engine/tokenizer/spm_text.h"

namespace skipbench {
namespace {

using Steps = std::vector<PreTokenizer::Step>;

// {"Regex": "..."} or {"String": "..."}
Regex pattern_of(const JsonObject& step) {
  const std::optional<JsonObject> pattern = step.object("pattern");
  if (pattern) {
    if (const auto regex = pattern->string("Regex")) return Regex(*regex, pattern->where("Regex"));
    if (const auto text = pattern->string("String")) {
      return Regex::literal(*text, pattern->where("String"));
    }
  }
  throw Error(
      {.what = "no pattern", .where = step.where("pattern"), .expected = "Regex or String"});
}

SplitBehavior behavior_of(const JsonObject& step, const std::string& fallback) {
  struct Row {
    std::string_view name;
    SplitBehavior behavior;
  };
  constexpr std::array kRows{Row{"Isolated", SplitBehavior::kIsolated},
                             Row{"Removed", SplitBehavior::kRemoved},
                             Row{"Contiguous", SplitBehavior::kContiguous},
                             Row{"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
                             Row{"MergedWithNext", SplitBehavior::kMergedWithNext}};
  const std::string name = step.string("behavior").value_or(fallback);
  std::vector<std::string> known;
  for (const Row& row : kRows) {
    if (row.name == name) return row.behavior;
    known.emplace_back(row.name);
  }
  throw unknown_name("split behavior", name, known, step.where("behavior"));
}

SplitStep fixed_split(std::string_view pattern, SplitBehavior behavior, bool invert,
                      const JsonObject& step) {
  return SplitStep{Regex(pattern, step.where("type")), behavior, invert};
}

ByteLevelStep byte_level_step(const JsonObject& step) {
  ByteLevelStep out;
  out.add_prefix_space = step.boolean("add_prefix_space").value_or(true);
  if (step.boolean("use_regex").value_or(true)) out.pattern = gpt2_pattern();
  return out;
}

MetaspaceStep metaspace_step(const JsonObject& step) {
  using Prepend = MetaspaceStep::Prepend;
  const std::string mark = step.string("replacement").value_or(std::string(kSpmBlank));
  if (mark != kSpmBlank) {
    throw Error({.what = "unsupported Metaspace replacement",
                 .where = step.where("replacement"),
                 .expected = "U+2581",
                 .got = mark});
  }
  // Files from before tokenizers 0.15 have add_prefix_space instead.
  const bool prefix = step.boolean("add_prefix_space").value_or(true);
  const std::string scheme = step.string("prepend_scheme").value_or(prefix ? "always" : "never");
  MetaspaceStep out;
  out.split = step.boolean("split").value_or(true);
  if (scheme == "always") out.prepend = Prepend::kAlways;
  if (scheme == "first") out.prepend = Prepend::kFirst;
  return out;
}

// Type names are matched here and nowhere else.
void add_pre_tokenizer(const JsonObject& step, Steps* steps) {
  const std::string type = required_string(step, "type");
  if (type == "Sequence") {
    for (const JsonObject& part : json_objects(step, "pretokenizers")) {
      add_pre_tokenizer(part, steps);
    }
  } else if (type == "Split") {
    steps->emplace_back(SplitStep{pattern_of(step), behavior_of(step, "Isolated"),
                                  step.boolean("invert").value_or(false)});
  } else if (type == "ByteLevel") {
    steps->emplace_back(byte_level_step(step));
  } else if (type == "Digits") {
    const bool single = step.boolean("individual_digits").value_or(false);
    steps->emplace_back(fixed_split(
        "\\p{N}", single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false, step));
  } else if (type == "Punctuation") {
    steps->emplace_back(
        fixed_split("[\\p{P}!-/:-@\\x5B-`{-~]", behavior_of(step, "Isolated"), false, step));
  } else if (type == "Whitespace") {
    steps->emplace_back(fixed_split("\\w+|[^\\w\\s]+", SplitBehavior::kRemoved, true, step));
  } else if (type == "WhitespaceSplit") {
    steps->emplace_back(fixed_split("\\s", SplitBehavior::kRemoved, false, step));
  } else if (type == "Metaspace") {
    steps->emplace_back(metaspace_step(step));
  } else {
    throw unknown_name(
        "pre-tokenizer", type,
        std::vector<std::string>{"Sequence", "Split", "ByteLevel", "Digits", "Punctuation",
                                 "Whitespace", "WhitespaceSplit", "Metaspace"},
        step.where("type"));
  }
}

void add_normalizer(const JsonObject& step, std::vector<Normalizer::Step>* steps) {
  const std::string type = required_string(step, "type");
  if (type == "Sequence") {
    for (const JsonObject& part : json_objects(step, "normalizers")) add_normalizer(part, steps);
  } else if (type == "NFC") {
    steps->emplace_back(Normalizer::Nfc{});
  } else if (type == "Prepend") {
    steps->emplace_back(Normalizer::Prepend{required_string(step, "prepend")});
  } else if (type == "Replace") {
    steps->emplace_back(Normalizer::Replace{pattern_of(step), required_string(step, "content")});
  } else {
    throw unknown_name("normalizer", type,
                       std::vector<std::string>{"Sequence", "NFC", "Prepend", "Replace"},
                       step.where("type"));
  }
}

}  // namespace

std::vector<JsonObject> json_objects(const JsonObject& parent, std::string_view key) {
  std::vector<JsonObject> objects;
  const nlohmann::json* array = parent.find(key);
  if (!array) return objects;
  if (!array->is_array()) {
    throw Error(
        {.what = "wrong kind of value", .where = parent.where(key), .expected = "an array"});
  }
  for (size_t i = 0; i < array->size(); ++i) {
    const nlohmann::json& value = (*array)[i];
    const std::string prefix = fmt::format("{}[{}].", key, i);
    if (!value.is_object()) {
      throw Error({.what = "wrong kind of value",
                   .where = parent.where(fmt::format("{}[{}]", key, i)),
                   .expected = "an object"});
    }
    objects.emplace_back(parent.path(), value, prefix);
  }
  return objects;
}

std::string required_string(const JsonObject& object, std::string_view key) {
  const std::optional<std::string> value = object.string(key);
  if (!value) throw Error({.what = "missing key", .where = object.where(key)});
  return *value;
}

Normalizer hf_normalizer(const JsonObject& file) {
  std::vector<Normalizer::Step> steps;
  if (const auto normalizer = file.object("normalizer")) add_normalizer(*normalizer, &steps);
  return Normalizer(std::move(steps));
}

PreTokenizer hf_pre_tokenizer(const JsonObject& file) {
  Steps steps;
  if (const auto pre_tokenizer = file.object("pre_tokenizer")) {
    add_pre_tokenizer(*pre_tokenizer, &steps);
  }
  return PreTokenizer(std::move(steps));
}

}  // namespace skipbench
