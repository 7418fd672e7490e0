// chrF, chrF+ and chrF++ exactly as sacreBLEU 2.6.0 computes them: F-score over character n-grams
// (Popovic 2015, https://aclanthology.org/W15-3049) and word n-grams (Popovic 2017, W17-4770).
#pragma once

#include <memory>

#include "eval/metrics/metric.h"
#include "eval/metrics/metric_options.h"

namespace skipbench {

struct ChrfSettings {
  int char_order = 6;
  int word_order = 0;  // 2 is chrF++
  int beta = 2;        // weight of recall against precision
  bool lowercase = false;
  bool whitespace = false;     // white space counts as characters
  bool eps_smoothing = false;  // as chrF++.py, NLTK and Moses; else the orders that occur
};

// Statistics, for every character order and then every word order: n-grams of the hypothesis, of
// the reference, and matches. Against several references the one with the best segment score
// counts, the first of equals: their order matters.
std::unique_ptr<Metric> make_chrf(const ChrfSettings& settings);

// Settings: char_order, word_order, beta, lowercase, whitespace, eps_smoothing.
std::unique_ptr<Metric> make_chrf(const MetricOptions& options, const std::string& where);

// The same with word_order 2 unless set.
std::unique_ptr<Metric> make_chrf_plus_plus(const MetricOptions& options, const std::string& where);

}  // namespace skipbench
