#include "eval/report/score_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace skipbench {
namespace {

const TableScore* find_score(const TableRow& row, const ScoreColumn& column) {
  for (const TableScore& score : row.scores) {
    if (score.name == column.name && score.signature == column.signature) return &score;
  }
  return nullptr;
}

TableField interval_field(const ScoreColumn& column, const char* end,
                          std::optional<double> TableScore::*bound) {
  TableField field{fmt::format("{} {}", column.title, end), fmt::format("{} {}", column.title, end),
                   fmt::format("{} end of the score's 95 % bootstrap interval", end),
                   /*on_request=*/true};
  field.value = [column, bound](const TableRow& row) -> std::optional<double> {
    const TableScore* score = find_score(row, column);
    return score == nullptr ? std::nullopt : score->*bound;
  };
  field.text = [value = field.value,
                digits = column.digits](const TableRow& row) -> std::optional<std::string> {
    const auto found = value(row);
    if (!found) return std::nullopt;
    return fmt::format("{:.{}f}", *found, digits);
  };
  return field;
}

int shown_digits(const ResultTable& table, const TableScore& of) {
  double most = 0;
  for (const TableRow& row : table.rows) {
    for (const TableScore& score : row.scores) {
      if (score.signature == of.signature) most = std::max(most, std::abs(score.value));
    }
  }
  return score_digits(of.signature, most);
}

TableField p_field(const ScoreColumn& column, const char* name,
                   std::optional<double> TableScore::*p_value) {
  const std::string title = fmt::format("{} {}", column.title, name);
  TableField field{title, title, ""};
  field.value = [column, p_value](const TableRow& row) -> std::optional<double> {
    const TableScore* score = find_score(row, column);
    return score == nullptr ? std::nullopt : score->*p_value;
  };
  field.text = [value = field.value](const TableRow& row) -> std::optional<std::string> {
    const auto p = value(row);
    if (!p) return std::nullopt;
    return p_text(*p);
  };
  return field;
}

}  // namespace

std::string p_text(double p) { return p < 0.001 ? "<0.001" : fmt::format("{:.3f}", p); }

int score_digits(const std::string& signature, double most) {
  const bool is_external = signature.find("|external:") != std::string::npos;
  return is_external && most <= 1 ? 4 : 2;
}

std::vector<ScoreColumn> score_columns(const ResultTable& table, const std::string& dataset) {
  std::vector<ScoreColumn> columns;
  for (const TableRow& row : table.rows) {
    if (!dataset.empty() && row.dataset != dataset) continue;
    for (const TableScore& score : row.scores) {
      const auto same = [&](const ScoreColumn& column) {
        return column.name == score.name && column.signature == score.signature;
      };
      if (std::any_of(columns.begin(), columns.end(), same)) continue;
      const auto of_name = std::count_if(columns.begin(), columns.end(), [&](const auto& column) {
        return column.name == score.name;
      });
      columns.push_back({of_name == 0 ? score.name : fmt::format("{} #{}", score.name, of_name + 1),
                         score.name, score.signature, shown_digits(table, score)});
    }
  }
  return columns;
}

TableField score_field(const ScoreColumn& column) {
  TableField field{column.title, column.title, fmt::format("`{}`", column.signature)};
  field.text = [column](const TableRow& row) -> std::optional<std::string> {
    const TableScore* score = find_score(row, column);
    if (score == nullptr) return std::nullopt;
    if (score->deviation) {
      return fmt::format("{:.{}f} ± {:.{}f}", score->value, column.digits, *score->deviation,
                         column.digits);
    }
    return fmt::format("{:.{}f}", score->value, column.digits);
  };
  field.value = [column](const TableRow& row) -> std::optional<double> {
    const TableScore* score = find_score(row, column);
    if (score == nullptr) return std::nullopt;
    return score->value;
  };
  field.bold = [column](const TableRow& row) {
    const TableScore* score = find_score(row, column);
    return score != nullptr && score->best;
  };
  return field;
}

TableField p_value_field(const ScoreColumn& column) {
  return p_field(column, "p", &TableScore::p_value);
}

TableField corrected_p_field(const ScoreColumn& column, bool on_request) {
  TableField field = p_field(column, "p Holm", &TableScore::p_holm);
  field.on_request = on_request;
  // Where it is usual, the table's own note says more.
  if (on_request)
    field.definition = "p corrected (Holm 1979) for all tests of the score on its data";
  return field;
}

std::vector<TableField> interval_fields(const ScoreColumn& column) {
  return {interval_field(column, "low", &TableScore::low),
          interval_field(column, "high", &TableScore::high)};
}

}  // namespace skipbench
