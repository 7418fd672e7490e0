// The columns that a score has in a results table.
#pragma once

#include <string>
#include <vector>

#include "eval/report/layout.h"

namespace skipbench {

// Scores of one name under several settings are told apart by a number in the title.
struct ScoreColumn {
  std::string title;
  std::string name;
  std::string signature;
  int digits = 2;  // score_digits
};

// Digits after the point of scores of at most `most`, without its sign: COMET's and their like are
// from 0 to 1 and differ in the third digit.
int score_digits(const std::string& signature, double most);

// Of the rows of `dataset`; empty: of all.
std::vector<ScoreColumn> score_columns(const ResultTable& table, const std::string& dataset);

TableField score_field(const ScoreColumn& column);

// A p-value as tables show it.
std::string p_text(double p);

// What a comparison found (eval/report/comparison.h).
TableField p_value_field(const ScoreColumn& column);
TableField corrected_p_field(const ScoreColumn& column, bool on_request);
std::vector<TableField> interval_fields(const ScoreColumn& column);  // low and high, on request

}  // namespace skipbench
