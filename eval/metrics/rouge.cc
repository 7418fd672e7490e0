#include "eval/metrics/rouge.h"

#include <algorithm>

#include "eval/metrics/lcs.h"
#include "eval/metrics/ngrams.h"
#include "eval/metrics/porter.h"
#include "eval/metrics/unicode.h"

namespace skipbench {
namespace {

constexpr size_t kShortestStemmed = 4;  // letters; rouge_score leaves shorter words alone

// The ASCII letter or digit that Python's str.lower() makes of `c`, or 0. Two characters outside
// ASCII become an ASCII letter: I with a dot above and the Kelvin sign.
char lowered_alphanumeric(char32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return static_cast<char>(c);
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c + 32);
  if (c == 0x130) return 'i';
  if (c == 0x212A) return 'k';
  return 0;
}

// Calls word(token) for every token and sentence_end() after every line.
template <typename Word, typename SentenceEnd>
void for_each_token(std::string_view text, bool stemmer, Word word, SentenceEnd sentence_end) {
  std::string token;
  const auto finish_token = [&] {
    if (token.empty()) return;
    if (stemmer && token.size() >= kShortestStemmed) porter_stem(&token);
    word(token);
    token.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, &at);
    const char letter = lowered_alphanumeric(c);
    if (letter != 0) token.push_back(letter);
    // The lower case of U+0130 is an i and a combining dot, which ends the word.
    if (letter == 0 || c == 0x130) finish_token();
    if (c == '\n') sentence_end();
  }
  finish_token();
  sentence_end();
}

// A text as token ids, cut into its sentences (those without tokens left out).
struct Tokens {
  std::vector<uint32_t> ids;
  std::vector<size_t> ends;  // of the sentences, ascending, the last one ids.size()

  size_t n_sentences() const { return ends.size(); }
  std::span<const uint32_t> sentence(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::span(ids).subspan(begin, ends[i] - begin);
  }
};

void tokenize(std::string_view text, bool stemmer, TokenIds* ids, Tokens* out) {
  out->ids.clear();
  out->ends.clear();
  for_each_token(
      text, stemmer, [&](const std::string& token) { out->ids.push_back(ids->insert(token)); },
      [&] {
        const size_t begin = out->ends.empty() ? 0 : out->ends.back();
        if (out->ids.size() > begin) out->ends.push_back(out->ids.size());
      });
}

RougeValue value_of(int64_t hits, int64_t n_hypothesis, int64_t n_reference) {
  RougeValue value;
  value.precision =
      static_cast<double>(hits) / static_cast<double>(std::max<int64_t>(n_hypothesis, 1));
  value.recall = static_cast<double>(hits) / static_cast<double>(std::max<int64_t>(n_reference, 1));
  const double sum = value.precision + value.recall;
  if (sum > 0) value.f_measure = 2 * value.precision * value.recall / sum;
  return value;
}

// Buffers that one thread reuses from segment to segment.
struct Scratch {
  TokenIds ids;
  Tokens hypothesis, reference;
  NgramMatcher ngrams;
  LcsFinder lcs;
  std::vector<bool> used;
  std::vector<int64_t> hypothesis_counts, reference_counts;
};

// Summary-level LCS (Lin 2004, section 3.2): the union, over the output's sentences, of the words
// of a reference sentence on a common subsequence. No word counts more often than it occurs in
// the output or in the reference.
int64_t summary_hits(Scratch* s) {
  const uint32_t n_ids = s->ids.size();
  s->hypothesis_counts.assign(n_ids, 0);
  s->reference_counts.assign(n_ids, 0);
  for (const uint32_t id : s->hypothesis.ids) ++s->hypothesis_counts[id];
  for (const uint32_t id : s->reference.ids) ++s->reference_counts[id];
  int64_t hits = 0;
  for (size_t r = 0; r < s->reference.n_sentences(); ++r) {
    const std::span<const uint32_t> sentence = s->reference.sentence(r);
    s->used.assign(sentence.size(), false);
    for (size_t h = 0; h < s->hypothesis.n_sentences(); ++h) {
      s->lcs.mark(sentence, s->hypothesis.sentence(h), n_ids, &s->used);
    }
    for (size_t i = 0; i < sentence.size(); ++i) {
      int64_t& in_hypothesis = s->hypothesis_counts[sentence[i]];
      int64_t& in_reference = s->reference_counts[sentence[i]];
      if (!s->used[i] || in_hypothesis == 0 || in_reference == 0) continue;
      ++hits;
      --in_hypothesis;
      --in_reference;
    }
  }
  return hits;
}

std::array<RougeValue, kRougeTypes> values_for_reference(Scratch* s) {
  const auto n_hypothesis = static_cast<int64_t>(s->hypothesis.ids.size());
  const auto n_reference = static_cast<int64_t>(s->reference.ids.size());
  std::array<int64_t, 2> ngram_hits;
  s->ngrams.clear(2);
  s->ngrams.add_reference(s->reference.ids);
  s->ngrams.match(s->hypothesis.ids, ngram_hits);
  const int64_t lcs = s->lcs.length(s->reference.ids, s->hypothesis.ids, s->ids.size());
  // With one sentence a side the union is that one subsequence, so Lsum is L.
  const bool one_sentence = s->hypothesis.n_sentences() <= 1 && s->reference.n_sentences() <= 1;
  const int64_t summary = one_sentence ? lcs : summary_hits(s);
  return {value_of(ngram_hits[0], n_hypothesis, n_reference),
          value_of(ngram_hits[1], n_hypothesis - 1, n_reference - 1),
          value_of(lcs, n_hypothesis, n_reference), value_of(summary, n_hypothesis, n_reference)};
}

class Rouge : public Metric {
 public:
  explicit Rouge(RougeSettings settings) : settings_(settings) {}

  int n_stats() const override { return 3 * kRougeTypes + 1; }

  void segment_stats(std::string_view hypothesis, std::span<const std::string> references,
                     std::span<double> stats) const override {
    const auto values = rouge_values(settings_, hypothesis, references);
    for (int type = 0; type < kRougeTypes; ++type) {
      stats[3 * type] = values[type].precision;
      stats[3 * type + 1] = values[type].recall;
      stats[3 * type + 2] = values[type].f_measure;
    }
    stats[3 * kRougeTypes] = 1;
  }

  std::vector<Score> scores(std::span<const double> sums) const override {
    const double n_segments = sums[3 * kRougeTypes];
    const auto mean_percent = [&](int i) {
      return n_segments > 0 ? 100 * (sums[i] / n_segments) : 0.0;
    };
    std::vector<Score> scores;
    for (int type = 0; type < kRougeTypes; ++type) {
      scores.push_back({.name = kRougeNames[type],
                        .score = mean_percent(3 * type + 2),
                        .precision = mean_percent(3 * type),
                        .recall = mean_percent(3 * type + 1)});
    }
    return scores;
  }

  Signature settings() const override {
    return {{"stem", settings_.stemmer ? "porter" : "no"}, {"split", "newline"}, {"agg", "mean"}};
  }

 private:
  RougeSettings settings_;
};

}  // namespace

std::array<RougeValue, kRougeTypes> rouge_values(const RougeSettings& settings,
                                                 std::string_view hypothesis,
                                                 std::span<const std::string> references) {
  thread_local Scratch scratch;
  scratch.ids.clear();
  tokenize(hypothesis, settings.stemmer, &scratch.ids, &scratch.hypothesis);
  std::array<RougeValue, kRougeTypes> best;
  for (size_t r = 0; r < references.size(); ++r) {
    tokenize(references[r], settings.stemmer, &scratch.ids, &scratch.reference);
    const auto values = values_for_reference(&scratch);
    for (int type = 0; type < kRougeTypes; ++type) {
      if (r == 0 || values[type].f_measure > best[type].f_measure) best[type] = values[type];
    }
  }
  return best;
}

std::vector<std::string> rouge_tokens(std::string_view text, bool stemmer) {
  std::vector<std::string> tokens;
  for_each_token(
      text, stemmer, [&](const std::string& token) { tokens.push_back(token); }, [] {});
  return tokens;
}

std::unique_ptr<Metric> make_rouge(const RougeSettings& settings) {
  return std::make_unique<Rouge>(settings);
}

std::unique_ptr<Metric> make_rouge(const MetricOptions& options, const std::string& where) {
  MetricOptionReader reader(options, where);
  RougeSettings settings;
  settings.stemmer = reader.boolean("stemmer", settings.stemmer);
  reader.finish();
  return make_rouge(settings);
}

}  // namespace skipbench
