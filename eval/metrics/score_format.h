// Scores of systems as JSON, text or LaTeX.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/metrics/metric.h"
#include "eval/metrics/significance.h"

namespace skipbench {

enum class ScoreFormat { kJson, kText, kLatex };

// Throws Error with the known names for an unknown one.
ScoreFormat parse_score_format(std::string_view name, const std::string& where);

// What one metric says about every system.
struct MetricReport {
  Signature signature;
  std::vector<std::vector<ComparedScore>> systems;  // [systems][scores], the baseline first
};

// `digits` after the point; without it JSON is unrounded and the rest has 1.
std::string format_system(const std::vector<MetricReport>& reports, ScoreFormat format,
                          std::optional<int> digits);
std::string format_systems(const std::vector<std::string>& names,
                           const std::vector<MetricReport>& reports, ScoreFormat format,
                           std::optional<int> digits);

// One row per segment: scores[metric's scores in order][segments].
std::string format_sentences(const std::vector<std::string>& score_names,
                             const std::vector<std::vector<double>>& scores, ScoreFormat format,
                             std::optional<int> digits);

}  // namespace skipbench
