#include "engine/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/spm_text.h"

namespace skipbench {
namespace {

struct Span {
  size_t begin = 0;
  size_t end = 0;
  bool is_match = false;
};

// The whole text, cut at the borders of the matches.
std::vector<Span> find_spans(const SplitStep& step, std::string_view text) {
  std::vector<Span> spans;
  size_t at = 0;
  const auto between = [&](size_t end) {
    if (end > at) spans.push_back({at, end, step.invert});
  };
  step.pattern.for_each_match(text, [&](size_t begin, size_t end) {
    between(begin);
    spans.push_back({begin, end, !step.invert});
    at = end;
  });
  between(text.size());
  return spans;
}

// Joins a match to a neighbour that is none; `spans` in the direction in which the match follows
// that neighbour.
std::vector<Span> merge_matches(const std::vector<Span>& spans) {
  std::vector<Span> merged;
  bool previous_is_match = false;
  for (const Span& span : spans) {
    if (span.is_match && !previous_is_match && !merged.empty()) {
      merged.back().begin = std::min(merged.back().begin, span.begin);
      merged.back().end = std::max(merged.back().end, span.end);
    } else {
      merged.push_back(span);
    }
    previous_is_match = span.is_match;
  }
  return merged;
}

std::vector<Span> join_equal_neighbours(const std::vector<Span>& spans) {
  std::vector<Span> joined;
  for (const Span& span : spans) {
    if (!joined.empty() && joined.back().is_match == span.is_match) {
      joined.back().end = span.end;
    } else {
      joined.push_back(span);
    }
  }
  return joined;
}

std::vector<Span> apply_behavior(SplitBehavior behavior, std::vector<Span> spans) {
  switch (behavior) {
    case SplitBehavior::kIsolated:
      break;
    case SplitBehavior::kRemoved:
      std::erase_if(spans, [](const Span& span) { return span.is_match; });
      break;
    case SplitBehavior::kContiguous:
      return join_equal_neighbours(spans);
    case SplitBehavior::kMergedWithPrevious:
      return merge_matches(spans);
    case SplitBehavior::kMergedWithNext:
      std::reverse(spans.begin(), spans.end());
      spans = merge_matches(spans);
      std::reverse(spans.begin(), spans.end());
      break;
  }
  return spans;
}

using Words = std::vector<std::string>;

void apply(const SplitStep& step, std::string word, bool, Words* out) {
  for (const Span& span : apply_behavior(step.behavior, find_spans(step, word))) {
    out->push_back(word.substr(span.begin, span.end - span.begin));
  }
}

void apply(const ByteLevelStep& step, std::string word, bool, Words* out) {
  if (step.add_prefix_space && word[0] != ' ') word.insert(word.begin(), ' ');
  if (!step.pattern) return out->push_back(byte_level_encode(word));
  const std::string_view text = word;
  size_t at = 0;
  const auto emit = [&](size_t end) {
    if (end > at) out->push_back(byte_level_encode(text.substr(at, end - at)));
    at = end;
  };
  step.pattern->for_each_match(text, [&](size_t begin, size_t end) {
    emit(begin);
    emit(end);
  });
  emit(text.size());
}

void apply(const MetaspaceStep& step, std::string word, bool is_first, Words* out) {
  const bool wanted = step.prepend == MetaspaceStep::Prepend::kAlways ||
                      (step.prepend == MetaspaceStep::Prepend::kFirst && is_first);
  const bool present = word[0] == ' ' || word.starts_with(kSpmBlank);
  const std::string marked = std::string(wanted && !present ? kSpmBlank : "") + spm_escape(word);
  if (!step.split) return out->push_back(marked);
  size_t begin = 0;
  while (begin < marked.size()) {
    const size_t end = std::min(marked.find(kSpmBlank, begin + 1), marked.size());
    out->push_back(marked.substr(begin, end - begin));
    begin = end;
  }
}

}  // namespace

PreTokenizer::PreTokenizer(std::vector<Step> steps) : steps_(std::move(steps)) {
  byte_level_ = std::any_of(steps_.begin(), steps_.end(), [](const Step& step) {
    return std::holds_alternative<ByteLevelStep>(step);
  });
}

std::vector<std::string> PreTokenizer::split(std::string_view text, bool is_first) const {
  if (text.empty()) return {};
  Words words{std::string(text)};
  for (const Step& step : steps_) {
    Words next;
    bool first = is_first;
    for (std::string& word : words) {
      std::visit([&](const auto& kind) { apply(kind, std::move(word), first, &next); }, step);
      first = false;
    }
    words = std::move(next);
  }
  return words;
}

}  // namespace skipbench
