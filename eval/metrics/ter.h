// Translation edit rate exactly as sacreBLEU 2.6.0 computes it, which follows tercom: edits and
// block shifts to turn the output into the reference (Snover et al. 2006,
// https://aclanthology.org/2006.amta-papers.25). Lower is better.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "eval/metrics/metric.h"
#include "eval/metrics/metric_options.h"
#include "eval/metrics/tokenize.h"

namespace skipbench {

struct TerSettings {
  bool normalized = false;      // split punctuation off, resolve XML entities
  bool no_punctuation = false;  // drop it
  bool asian_support = false;   // the two above reach Chinese and Japanese characters too
  bool case_sensitive = false;
};

// tercom's tokens of `line`.
void tokenize_ter(std::string_view line, const TerSettings& settings, TokenList* out);

// Statistics: edits against the closest reference, mean reference length (tokens). The score is
// their ratio in percent: 100 where only the reference is empty.
std::unique_ptr<Metric> make_ter(const TerSettings& settings);

// Settings: normalized, no_punct, asian_support, case_sensitive.
std::unique_ptr<Metric> make_ter(const MetricOptions& options, const std::string& where);

}  // namespace skipbench
