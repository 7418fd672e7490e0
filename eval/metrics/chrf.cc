#include "eval/metrics/chrf.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/error.h"
#include "eval/metrics/ngrams.h"
#include "eval/metrics/unicode.h"

namespace skipbench {
namespace {

constexpr std::string_view kPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

bool is_punctuation(char c) { return kPunctuation.find(c) != std::string_view::npos; }

// The code points of `text`, without white space unless asked for.
void split_characters(std::string_view text, bool whitespace, std::vector<uint32_t>* out) {
  out->clear();
  for (size_t at = 0; at < text.size();) {
    const size_t space = whitespace ? 0 : space_bytes(text.substr(at));
    if (space > 0) {
      at += space;
    } else {
      out->push_back(static_cast<uint32_t>(next_code_point(text, &at)));
    }
  }
}

// Calls add(token) for the words of `text`. One ASCII punctuation mark at a word's end, or else at
// its beginning, is a word of its own.
template <typename Add>
void split_words(std::string_view text, Add add) {
  const auto add_word = [&](std::string_view word) {
    size_t first_end = 0;
    next_code_point(word, &first_end);
    if (first_end == word.size()) {
      add(word);
    } else if (is_punctuation(word.back())) {
      add(word.substr(0, word.size() - 1));
      add(word.substr(word.size() - 1));
    } else if (is_punctuation(word.front())) {
      add(word.substr(0, 1));
      add(word.substr(1));
    } else {
      add(word);
    }
  };
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t space = space_bytes(text.substr(at));
    if (space == 0) {
      ++at;
      continue;
    }
    if (at > start) add_word(text.substr(start, at - start));
    start = at += space;
  }
  if (start < text.size()) add_word(text.substr(start));
}

// Buffers that one thread reuses from segment to segment.
struct Scratch {
  TokenIds words;
  NgramMatcher matcher;
  std::vector<uint32_t> hypothesis_characters, hypothesis_words, characters, reference_words;
  std::vector<int64_t> matches;
  std::vector<double> stats;
};

// Appends (hypothesis, reference, match) counts for the orders 1 to max_order. The hypothesis'
// n-grams of an order count only if the reference has any.
void append_counts(std::span<const uint32_t> hypothesis, std::span<const uint32_t> reference,
                   int max_order, Scratch* s) {
  s->matcher.clear(max_order);
  s->matcher.add_reference(reference);
  s->matches.resize(max_order);
  s->matcher.match(hypothesis, s->matches);
  for (int n = 1; n <= max_order; ++n) {
    const auto n_grams = [&](size_t length) {
      return length < static_cast<size_t>(n) ? 0.0 : static_cast<double>(length - n + 1);
    };
    const double in_reference = n_grams(reference.size());
    s->stats.push_back(in_reference > 0 ? n_grams(hypothesis.size()) : 0.0);
    s->stats.push_back(in_reference);
    s->stats.push_back(static_cast<double>(s->matches[n - 1]));
  }
}

class Chrf : public Metric {
 public:
  explicit Chrf(const ChrfSettings& settings) : settings_(settings) {}

  int n_stats() const override { return 3 * (settings_.char_order + settings_.word_order); }
  void segment_stats(std::string_view hypothesis, std::span<const std::string> references,
                     std::span<double> stats) const override;

  std::vector<Score> scores(std::span<const double> sums) const override {
    return {{.name = fmt::format("chrF{}{:+<{}}", settings_.beta, "", settings_.word_order),
             .score = f_score(sums)}};
  }

  Signature settings() const override {
    return {{"case", settings_.lowercase ? "lc" : "mixed"},
            {"eff", settings_.eps_smoothing ? "no" : "yes"},
            {"nc", std::to_string(settings_.char_order)},
            {"nw", std::to_string(settings_.word_order)},
            {"space", settings_.whitespace ? "yes" : "no"}};
  }

 private:
  double f_score(std::span<const double> sums) const;

  ChrfSettings settings_;
};

void Chrf::segment_stats(std::string_view hypothesis, std::span<const std::string> references,
                         std::span<double> stats) const {
  thread_local Scratch s;
  std::string lowered;
  const auto prepared = [&](std::string_view text) -> std::string_view {
    if (!settings_.lowercase) return text;
    lowered = lower(text);
    return lowered;
  };
  s.words.clear();
  const auto split = [&](std::string_view raw, std::vector<uint32_t>* characters,
                         std::vector<uint32_t>* words) {
    const std::string_view text = prepared(raw);
    split_characters(text, settings_.whitespace, characters);
    words->clear();
    if (settings_.word_order == 0) return;
    split_words(text, [&](std::string_view word) { words->push_back(s.words.insert(word)); });
  };
  split(hypothesis, &s.hypothesis_characters, &s.hypothesis_words);
  double best = -1;
  for (const std::string& reference : references) {
    split(reference, &s.characters, &s.reference_words);
    s.stats.clear();
    append_counts(s.hypothesis_characters, s.characters, settings_.char_order, &s);
    append_counts(s.hypothesis_words, s.reference_words, settings_.word_order, &s);
    const double score = f_score(s.stats);
    if (score <= best) continue;
    best = score;
    std::copy(s.stats.begin(), s.stats.end(), stats.begin());
  }
}

// The operations are in sacreBLEU's order: which of two equally good references counts hangs on
// the last bit.
double Chrf::f_score(std::span<const double> sums) const {
  constexpr double kEpsilon = 1e-16;
  const double factor = settings_.beta * settings_.beta;
  const int order = settings_.char_order + settings_.word_order;
  double smoothed = 0, precision = 0, recall = 0;
  int effective_order = 0;
  for (int i = 0; i < order; ++i) {
    const double n_hypothesis = sums[3 * i], n_reference = sums[3 * i + 1];
    const double n_match = sums[3 * i + 2];
    const double p = n_hypothesis > 0 ? n_match / n_hypothesis : kEpsilon;
    const double r = n_reference > 0 ? n_match / n_reference : kEpsilon;
    const double denominator = factor * p + r;
    smoothed += denominator > 0 ? (1 + factor) * p * r / denominator : kEpsilon;
    if (n_hypothesis > 0 && n_reference > 0) {
      precision += p;
      recall += r;
      ++effective_order;
    }
  }
  if (settings_.eps_smoothing) return 100 * smoothed / order;
  if (effective_order == 0) return 0;
  precision /= effective_order;
  recall /= effective_order;
  if (precision + recall == 0) return 0;
  double score = (1 + factor) * precision * recall;
  score /= factor * precision + recall;
  return 100 * score;
}

std::unique_ptr<Metric> make_with(ChrfSettings settings, const MetricOptions& options,
                                  const std::string& where) {
  MetricOptionReader reader(options, where);
  settings.char_order = reader.integer("char_order", settings.char_order, 1, 64);
  settings.word_order = reader.integer("word_order", settings.word_order, 0, 16);
  settings.beta = reader.integer("beta", settings.beta, 1, 1000);
  settings.lowercase = reader.boolean("lowercase", settings.lowercase);
  settings.whitespace = reader.boolean("whitespace", settings.whitespace);
  settings.eps_smoothing = reader.boolean("eps_smoothing", settings.eps_smoothing);
  reader.finish();
  return make_chrf(settings);
}

}  // namespace

std::unique_ptr<Metric> make_chrf(const ChrfSettings& settings) {
  return std::make_unique<Chrf>(settings);
}

std::unique_ptr<Metric> make_chrf(const MetricOptions& options, const std::string& where) {
  return make_with({}, options, where);
}

std::unique_ptr<Metric> make_chrf_plus_plus(const MetricOptions& options,
                                            const std::string& where) {
  return make_with({.word_order = 2}, options, where);
}

}  // namespace skipbench
