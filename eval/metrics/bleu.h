// Corpus BLEU exactly as sacreBLEU 2.6.0 computes it. Papineni et al. 2002; smoothing after Chen
// and Cherry, WMT 2014 (https://aclanthology.org/W14-3346).
#pragma once

#include <memory>
#include <optional>

#include "eval/metrics/metric.h"
#include "eval/metrics/metric_options.h"

namespace skipbench {

enum class BleuSmoothing { kNone, kFloor, kAddK, kExp };

struct BleuSettings {
  std::string tokenizer = "13a";  // a name of tokenizer_table(), or flores200, flores101 or spm
  std::string spm_model = "";     // path of the sentencepiece model of the last three
  bool lowercase = false;
  BleuSmoothing smoothing = BleuSmoothing::kExp;
  std::optional<double> smooth_value;  // default 0.1 for floor, 1 for add-k
  bool effective_order = false;        // sacreBLEU's default for single sentences is true
  int max_order = 4;
};

// Everything sacreBLEU's score object shows.
struct BleuDetails {
  double score = 0;  // 0 to 100
  double brevity_penalty = 1;
  int64_t hypothesis_length = 0, reference_length = 0;  // tokens
  std::vector<double> counts, totals, precisions;       // [max_order]; precisions in percent
};

// `sums`: hypothesis length, closest reference length, matches [max_order], totals [max_order].
BleuDetails bleu_from_stats(const BleuSettings& settings, std::span<const double> sums);

std::unique_ptr<Metric> make_bleu(const BleuSettings& settings);

// Settings: tokenize, spm_model, lowercase, smooth (exp, floor, add-k, none), smooth_value,
// effective_order, max_ngram_order.
std::unique_ptr<Metric> make_bleu(const MetricOptions& options, const std::string& where);

}  // namespace skipbench
