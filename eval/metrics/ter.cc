#include "eval/metrics/ter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/base/error.h"
#include "eval/metrics/ngrams.h"
#include "eval/metrics/ter_edits.h"

namespace skipbench {
namespace {

// Buffers that one thread reuses from segment to segment.
struct Scratch {
  TokenList tokens;
  TokenIds ids;
  TerEdits edits;
  std::vector<uint32_t> hypothesis, reference;
};

constexpr size_t kMostCells = size_t{1} << 26;

class Ter : public Metric {
 public:
  explicit Ter(const TerSettings& settings) : settings_(settings) {}

  int n_stats() const override { return 2; }
  bool higher_is_better() const override { return false; }

  void segment_stats(std::string_view hypothesis, std::span<const std::string> references,
                     std::span<double> stats) const override {
    thread_local Scratch s;
    s.ids.clear();
    const auto read = [&](std::string_view text, std::vector<uint32_t>* out) {
      tokenize_ter(text, settings_, &s.tokens);
      out->clear();
      for (const std::string_view token : s.tokens.tokens) out->push_back(s.ids.insert(token));
    };
    read(hypothesis, &s.hypothesis);
    int64_t best = std::numeric_limits<int64_t>::max();
    size_t length = 0;
    for (const std::string& reference : references) {
      read(reference, &s.reference);
      check_size(s.hypothesis.size(), s.reference.size());
      best = std::min(best, s.edits.count(s.hypothesis, s.reference));
      length += s.reference.size();
    }
    stats[0] = static_cast<double>(best);
    stats[1] = static_cast<double>(length) / static_cast<double>(references.size());
  }

  std::vector<Score> scores(std::span<const double> sums) const override {
    const double edits = sums[0], length = sums[1];
    const double rate = length > 0 ? edits / length : edits > 0 ? 1.0 : 0.0;
    return {{.name = "TER", .score = 100 * rate}};
  }

  Signature settings() const override {
    return {{"case", settings_.case_sensitive ? "mixed" : "lc"},
            {"tok", "tercom"},
            {"norm", settings_.normalized ? "yes" : "no"},
            {"punct", settings_.no_punctuation ? "no" : "yes"},
            {"asian", settings_.asian_support ? "yes" : "no"}};
  }

 private:
  // The table of edits has a cell for each pair of words: 9 bytes, in each thread.
  static void check_size(size_t hypothesis, size_t reference) {
    if ((hypothesis + 1) * (reference + 1) <= kMostCells) return;
    throw Error({.what = "a text is too long for TER",
                 .expected = fmt::format("at most {:.0f} thousand words on both sides",
                                         std::sqrt(static_cast<double>(kMostCells)) / 1e3),
                 .got = fmt::format("{} words, {} in the reference", hypothesis, reference),
                 .hint = "score sentences or paragraphs, one per line"});
  }

  TerSettings settings_;
};

}  // namespace

std::unique_ptr<Metric> make_ter(const TerSettings& settings) {
  return std::make_unique<Ter>(settings);
}

std::unique_ptr<Metric> make_ter(const MetricOptions& options, const std::string& where) {
  MetricOptionReader reader(options, where);
  TerSettings settings;
  settings.normalized = reader.boolean("normalized", settings.normalized);
  settings.no_punctuation = reader.boolean("no_punct", settings.no_punctuation);
  settings.asian_support = reader.boolean("asian_support", settings.asian_support);
  settings.case_sensitive = reader.boolean("case_sensitive", settings.case_sensitive);
  reader.finish();
  return make_ter(settings);
}

}  // namespace skipbench
