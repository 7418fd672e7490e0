// Two results files point by point: one sweep under two builds, adapters or settings.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/metrics/significance.h"
#include "eval/report/result_table.h"

namespace skipbench {

struct ScorePair {
  std::string name, signature;
  double a = 0, b = 0;
  std::optional<double> p_value;  // none: other data, means over seeds, or not asked for
};

// A point of the table that both files have: the same strategy (by its label), target, data set and
// point of the matrix, at the same batch size or, where B has no row of A's, without its speed.
struct PointPair {
  TableRow a, b;
  bool same_batch = false;
  std::vector<std::string> settings;   // keys of the quality cells' settings that differ
  std::vector<ScorePair> scores;       // by name and signature in both
  bool same_data = false;              // prompts and references
  std::optional<double> texts_differ;  // share of the scored outputs; none: other data
};

struct FileComparison {
  std::string file_a, file_b;
  ResultTable table_a, table_b;
  std::vector<PointPair> points;            // in A's order
  std::vector<std::string> only_a, only_b;  // "unified 2x, de-en, batch 8"
  std::optional<PairedTest> test;
  SignificanceSettings settings;
};

// Reads both tables and compares what their latest runs list; with `test`, every score of B against
// A's on the stored outputs. Throws Error where no point is in both.
FileComparison compare_files(const std::string& file_a, const std::string& file_b,
                             std::optional<PairedTest> test, const SignificanceSettings& settings);

// `format`: md (rounded, with notes), or json. Throws Error for another one.
std::string render_comparison(const FileComparison& comparison, const std::string& format);

}  // namespace skipbench
