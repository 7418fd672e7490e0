// ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum exactly as google's rouge_score 0.1.2 computes them.
// Lin 2004 (https://aclanthology.org/W04-1013).
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "eval/metrics/metric.h"
#include "eval/metrics/metric_options.h"

namespace skipbench {

struct RougeSettings {
  bool stemmer = false;  // Porter's, on words of more than three letters
};

// Fractions, 0 to 1.
struct RougeValue {
  double precision = 0, recall = 0, f_measure = 0;
};

constexpr int kRougeTypes = 4;
constexpr std::array<const char*, kRougeTypes> kRougeNames = {"ROUGE-1", "ROUGE-2", "ROUGE-L",
                                                              "ROUGE-Lsum"};

// Of one output against one or more references; for each type the reference with the highest
// F-measure counts (the first of equals). Sentences, for Lsum, are separated by line feeds.
std::array<RougeValue, kRougeTypes> rouge_values(const RougeSettings& settings,
                                                 std::string_view hypothesis,
                                                 std::span<const std::string> references);

// rouge_score's tokens of `text`: runs of [a-z0-9] after lower-casing, stemmed if asked for.
std::vector<std::string> rouge_tokens(std::string_view text, bool stemmer);

// Statistics: precision, recall and F-measure of every type, and 1 to count the segments.
std::unique_ptr<Metric> make_rouge(const RougeSettings& settings);

// Settings: stemmer.
std::unique_ptr<Metric> make_rouge(const MetricOptions& options, const std::string& where);

}  // namespace skipbench
