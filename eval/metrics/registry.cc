#include "eval/metrics/registry.h"

#include <vector>

#include "engine/base/error.h"
#include "eval/metrics/bleu.h"
#include "eval/metrics/chrf.h"
#include "eval/metrics/response_metrics.h"
#include "eval/metrics/rouge.h"
#include "eval/metrics/ter.h"
#include "eval/metrics/text_rates.h"

namespace skipbench {
namespace {

constexpr MetricEntry kMetrics[] = {
    {"bleu", "corpus BLEU as sacreBLEU computes it", make_bleu},
    {"chrf", "chrF as sacreBLEU computes it", make_chrf},
    {"chrf++", "chrF with words and word pairs", make_chrf_plus_plus},
    {"ter", "translation edit rate as sacreBLEU computes it", make_ter},
    {"rouge", "ROUGE-1, -2, -L and -Lsum as rouge_score computes them", make_rouge},
    {"repetition", "percent of n-grams that repeat earlier ones", make_repetition},
    {"length_ratio", "output length in percent of the reference", make_length_ratio},
    {"difference", "percent of outputs that equal no reference", make_difference},
};

// `and_responses`: the names of those metrics are suggested too.
std::unique_ptr<Metric> make_of_texts(std::string_view name, const MetricOptions& options,
                                      const std::string& where, bool and_responses) {
  std::vector<std::string> known;
  for (const MetricEntry& entry : kMetrics) {
    if (entry.name == name) return entry.make(options, where);
    known.emplace_back(entry.name);
  }
  if (and_responses) {
    for (const ResponseMetricEntry& entry : response_metric_table()) known.emplace_back(entry.name);
  }
  throw unknown_name("metric", name, known, where);
}

}  // namespace

std::span<const MetricEntry> metric_table() { return kMetrics; }

std::unique_ptr<Metric> make_metric(std::string_view name, const MetricOptions& options,
                                    const std::string& where) {
  if (find_response_metric(name) != nullptr) {
    throw Error({.what = "metric '" + std::string(name) + "' is of a model and not of texts",
                 .where = where,
                 .hint = "name it among the `metrics` of a sweep's data set and run the sweep"});
  }
  return make_of_texts(name, options, where, /*and_responses=*/false);
}

std::unique_ptr<Metric> make_sweep_metric(std::string_view name, const MetricOptions& options,
                                          const std::string& where) {
  if (const ResponseMetricEntry* entry = find_response_metric(name)) {
    return make_response_metric(*entry, options, where);
  }
  return make_of_texts(name, options, where, /*and_responses=*/true);
}

}  // namespace skipbench
