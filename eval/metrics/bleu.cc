#include "eval/metrics/bleu.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "engine/base/error.h"
#include "eval/metrics/ngrams.h"
#include "eval/metrics/tokenize.h"
#include "eval/metrics/tokenize_spm.h"
#include "eval/metrics/unicode.h"

namespace skipbench {
namespace {

struct SmoothingName {
  BleuSmoothing smoothing;
  const char* name;
  double default_value;  // 0: takes no value
};
constexpr SmoothingName kSmoothings[] = {
    {BleuSmoothing::kExp, "exp", 0},
    {BleuSmoothing::kFloor, "floor", 0.1},
    {BleuSmoothing::kAddK, "add-k", 1},
    {BleuSmoothing::kNone, "none", 0},
};

const SmoothingName& smoothing_name(BleuSmoothing smoothing) {
  return *std::find_if(std::begin(kSmoothings), std::end(kSmoothings),
                       [&](const SmoothingName& entry) { return entry.smoothing == smoothing; });
}

BleuSmoothing parse_smoothing(const std::string& name, const std::string& where) {
  std::vector<std::string> known;
  for (const SmoothingName& entry : kSmoothings) {
    if (name == entry.name) return entry.smoothing;
    known.emplace_back(entry.name);
  }
  throw unknown_name("smoothing method", name, known, where);
}

// These take a sentencepiece model; the names are sacreBLEU's, the file is the user's.
constexpr std::string_view kSpmTokenizers[] = {"flores200", "flores101", "spm"};

bool uses_spm(std::string_view tokenizer) {
  return std::find(std::begin(kSpmTokenizers), std::end(kSpmTokenizers), tokenizer) !=
         std::end(kSpmTokenizers);
}

void check_tokenizer(const BleuSettings& settings, const MetricOptionReader& reader) {
  if (uses_spm(settings.tokenizer) != !settings.spm_model.empty()) {
    throw Error({.what = uses_spm(settings.tokenizer)
                             ? "this tokenizer needs its sentencepiece model"
                             : "only flores200, flores101 and spm use a sentencepiece model",
                 .where = reader.key_path("spm_model"),
                 .got = "tokenizer " + settings.tokenizer,
                 .hint = uses_spm(settings.tokenizer) ? "give the path of the .model file" : ""});
  }
  if (uses_spm(settings.tokenizer)) return;
  std::vector<std::string> known(std::begin(kSpmTokenizers), std::end(kSpmTokenizers));
  for (const TokenizerEntry& entry : tokenizer_table()) {
    if (entry.name == settings.tokenizer) return;
    known.emplace_back(entry.name);
  }
  throw unknown_name("tokenizer", settings.tokenizer, known, reader.key_path("tokenize"));
}

// sacreBLEU's log, which keeps a precision of 0 finite.
double floored_log(double value) { return value == 0 ? -9999999999.0 : std::log(value); }

// Buffers that one thread reuses from segment to segment.
struct Scratch {
  TokenList tokens;
  TokenIds ids;
  NgramMatcher matcher;
  std::vector<uint32_t> sequence;
  std::vector<int64_t> matches;
};

class Bleu : public Metric {
 public:
  explicit Bleu(BleuSettings settings) : settings_(std::move(settings)) {
    if (uses_spm(settings_.tokenizer)) {
      pieces_ = std::make_unique<SpmPieces>(settings_.spm_model);
    } else {
      tokenize_ = find_tokenizer(settings_.tokenizer);
    }
  }

  int n_stats() const override { return 2 + 2 * settings_.max_order; }
  void segment_stats(std::string_view hypothesis, std::span<const std::string> references,
                     std::span<double> stats) const override;
  std::vector<Score> scores(std::span<const double> sums) const override;
  Signature settings() const override;

 private:
  void tokenize(std::string_view line, TokenList* out) const;

  BleuSettings settings_;
  Tokenizer tokenize_ = nullptr;
  std::unique_ptr<SpmPieces> pieces_;  // instead of tokenize_
};

void Bleu::tokenize(std::string_view line, TokenList* out) const {
  std::string lowered;
  if (settings_.lowercase) line = lowered = lower(line);
  line = rstrip(line);
  if (pieces_) {
    pieces_->tokenize(line, out);
  } else {
    tokenize_(line, out);
  }
}

// The reference length closest to the hypothesis', the shorter one when two are as close.
size_t closest_length(size_t hypothesis, std::span<const size_t> references) {
  const auto distance = [&](size_t length) {
    return length > hypothesis ? length - hypothesis : hypothesis - length;
  };
  return *std::min_element(references.begin(), references.end(), [&](size_t a, size_t b) {
    return distance(a) != distance(b) ? distance(a) < distance(b) : a < b;
  });
}

void Bleu::segment_stats(std::string_view hypothesis, std::span<const std::string> references,
                         std::span<double> stats) const {
  thread_local Scratch scratch;
  const int order = settings_.max_order;
  scratch.ids.clear();
  scratch.matcher.clear(order);
  std::vector<size_t> reference_lengths;
  for (const std::string& reference : references) {
    tokenize(reference, &scratch.tokens);
    scratch.sequence.clear();
    for (const std::string_view token : scratch.tokens.tokens) {
      scratch.sequence.push_back(scratch.ids.insert(token));
    }
    scratch.matcher.add_reference(scratch.sequence);
    reference_lengths.push_back(scratch.sequence.size());
  }

  tokenize(hypothesis, &scratch.tokens);
  scratch.sequence.clear();
  for (const std::string_view token : scratch.tokens.tokens) {
    scratch.sequence.push_back(scratch.ids.find(token));
  }
  scratch.matches.resize(order);
  scratch.matcher.match(scratch.sequence, scratch.matches);

  const size_t length = scratch.sequence.size();
  stats[0] = static_cast<double>(length);
  stats[1] = static_cast<double>(closest_length(length, reference_lengths));
  for (int n = 1; n <= order; ++n) {
    stats[1 + n] = static_cast<double>(scratch.matches[n - 1]);
    stats[1 + order + n] =
        length < static_cast<size_t>(n) ? 0.0 : static_cast<double>(length - n + 1);
  }
}

std::vector<Score> Bleu::scores(std::span<const double> sums) const {
  const BleuDetails bleu = bleu_from_stats(settings_, sums);
  std::string precisions;
  for (const double precision : bleu.precisions) {
    if (!precisions.empty()) precisions += '/';
    precisions += fmt::format("{:.1f}", precision);
  }
  const double ratio = bleu.reference_length == 0 ? 0.0
                                                  : static_cast<double>(bleu.hypothesis_length) /
                                                        static_cast<double>(bleu.reference_length);
  return {{.name = "BLEU",
           .score = bleu.score,
           .verbose = fmt::format("{} (BP = {:.3f} ratio = {:.3f} hyp_len = {} ref_len = {})",
                                  precisions, bleu.brevity_penalty, ratio, bleu.hypothesis_length,
                                  bleu.reference_length)}};
}

Signature Bleu::settings() const {
  const SmoothingName& smoothing = smoothing_name(settings_.smoothing);
  std::string smooth = smoothing.name;
  if (smoothing.default_value != 0) {
    smooth += fmt::format("[{:.2f}]", settings_.smooth_value.value_or(smoothing.default_value));
  }
  Signature signature = {{"case", settings_.lowercase ? "lc" : "mixed"},
                         {"eff", settings_.effective_order ? "yes" : "no"},
                         {"tok", settings_.tokenizer},
                         {"smooth", smooth}};
  if (pieces_) signature.emplace_back("model", pieces_->checksum());
  // sacreBLEU leaves the order out, so that BLEU-2 and BLEU-4 look the same; we do not.
  if (settings_.max_order != 4)
    signature.emplace_back("order", std::to_string(settings_.max_order));
  return signature;
}

}  // namespace

BleuDetails bleu_from_stats(const BleuSettings& settings, std::span<const double> sums) {
  const int order = settings.max_order;
  const double hypothesis_length = sums[0], reference_length = sums[1];
  BleuDetails bleu{.hypothesis_length = static_cast<int64_t>(hypothesis_length),
                   .reference_length = static_cast<int64_t>(reference_length)};
  bleu.counts.assign(sums.begin() + 2, sums.begin() + 2 + order);
  bleu.totals.assign(sums.begin() + 2 + order, sums.begin() + 2 + 2 * order);
  bleu.precisions.assign(order, 0.0);
  if (hypothesis_length < reference_length) {
    bleu.brevity_penalty =
        hypothesis_length > 0 ? std::exp(1 - reference_length / hypothesis_length) : 0.0;
  }
  if (std::all_of(bleu.counts.begin(), bleu.counts.end(), [](double c) { return c == 0; })) {
    return bleu;  // no match at all is 0, whatever the smoothing
  }

  const double value =
      settings.smooth_value.value_or(smoothing_name(settings.smoothing).default_value);
  double halving = 1;  // exp smoothing: 1/2, 1/4, ... for one order without a match after another
  int effective_order = order;
  for (int n = 0; n < order; ++n) {
    if (settings.smoothing == BleuSmoothing::kAddK && n > 0) {
      bleu.counts[n] += value;
      bleu.totals[n] += value;
    }
    if (bleu.totals[n] == 0) break;
    if (settings.effective_order) effective_order = n + 1;
    if (bleu.counts[n] != 0) {
      bleu.precisions[n] = 100.0 * bleu.counts[n] / bleu.totals[n];
    } else if (settings.smoothing == BleuSmoothing::kExp) {
      halving *= 2;
      bleu.precisions[n] = 100.0 / (halving * bleu.totals[n]);
    } else if (settings.smoothing == BleuSmoothing::kFloor) {
      bleu.precisions[n] = 100.0 * value / bleu.totals[n];
    }
  }
  double log_sum = 0;
  for (int n = 0; n < effective_order; ++n) log_sum += floored_log(bleu.precisions[n]);
  bleu.score = bleu.brevity_penalty * std::exp(log_sum / effective_order);
  return bleu;
}

std::unique_ptr<Metric> make_bleu(const BleuSettings& settings) {
  return std::make_unique<Bleu>(settings);
}

std::unique_ptr<Metric> make_bleu(const MetricOptions& options, const std::string& where) {
  MetricOptionReader reader(options, where);
  BleuSettings settings;
  settings.tokenizer = reader.text("tokenize", settings.tokenizer);
  settings.spm_model = reader.text("spm_model", "");
  check_tokenizer(settings, reader);
  settings.lowercase = reader.boolean("lowercase", settings.lowercase);
  settings.smoothing = parse_smoothing(reader.text("smooth", "exp"), reader.key_path("smooth"));
  settings.smooth_value = reader.number("smooth_value", 0.0);
  settings.effective_order = reader.boolean("effective_order", settings.effective_order);
  settings.max_order = reader.integer("max_ngram_order", settings.max_order, 1, 16);
  reader.finish();
  if (settings.smooth_value && smoothing_name(settings.smoothing).default_value == 0) {
    throw Error({.what = "this smoothing method takes no value",
                 .where = reader.key_path("smooth_value"),
                 .got = smoothing_name(settings.smoothing).name,
                 .hint = "only floor and add-k take one"});
  }
  return make_bleu(settings);
}

}  // namespace skipbench
