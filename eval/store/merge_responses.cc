#include "eval/store/merge_responses.h"

#include <fmt/format.h>

#include <iterator>
#include <vector>

#include "eval/store/row_copy.h"

namespace skipbench {
namespace {

constexpr const char* kTables[] = {"response_scores", "step_drift", "layer_drift"};
constexpr const char* kColumns[] = {"tokens", "nll", "kl", "agreeing"};

std::vector<std::string> prefixes(Database& database, int64_t cell) {
  Statement rows(database, "SELECT DISTINCT prefix FROM response_scores WHERE cell_id = ?");
  rows.bind(cell);
  std::vector<std::string> list;
  while (rows.step()) list.push_back(rows.text(0));
  return list;
}

int64_t count(Database& database, int64_t cell, const std::string& prefix) {
  Statement rows(database, "SELECT count(*) FROM response_scores WHERE cell_id = ? AND prefix = ?");
  rows.bind(cell, prefix).step();
  return rows.integer(0);
}

// Whether an older version measured it, whose drift does not tell steps apart.
bool lacks_steps(Database& database, int64_t cell, const std::string& prefix) {
  Statement rows(database,
                 "SELECT 1 FROM step_drift WHERE cell_id = ? AND prefix = ? AND step < -1");
  return rows.bind(cell, prefix).step();
}

// Whether the input has more responses, or as many with steps that the output's lack.
bool is_better(Database& input, int64_t from, Database& output, int64_t to,
               const std::string& prefix) {
  const int64_t theirs = count(input, from, prefix), ours = count(output, to, prefix);
  if (theirs != ours) return theirs > ours;
  return lacks_steps(output, to, prefix) && !lacks_steps(input, from, prefix);
}

std::string difference(Database& input, int64_t from, Database& output, int64_t to,
                       const std::string& prefix) {
  constexpr char kSql[] =
      "SELECT tokens, nll, kl, agreeing FROM response_scores"
      " WHERE cell_id = ? AND prefix = ? ORDER BY idx";
  Statement ours(output, kSql), theirs(input, kSql);
  ours.bind(to, prefix);
  theirs.bind(from, prefix);
  for (int64_t index = 0; ours.step() && theirs.step(); ++index) {
    for (int column = 0; column < std::ssize(kColumns); ++column) {
      if (ours.real(column) == theirs.real(column)) continue;
      return fmt::format("response {}: {} is {}, {} elsewhere", index, kColumns[column],
                         theirs.real(column), ours.real(column));
    }
  }
  return "";
}

}  // namespace

std::string join_responses(Database& input, int64_t from, Database& output, int64_t to) {
  for (const std::string& prefix : prefixes(input, from)) {
    const std::string differs = difference(input, from, output, to, prefix);
    if (!differs.empty()) return differs;
    if (!is_better(input, from, output, to, prefix)) continue;
    for (const char* table : kTables) {
      Statement(output, fmt::format("DELETE FROM {} WHERE cell_id = ? AND prefix = ?", table))
          .bind(to, prefix)
          .run();
      Statement rows(input,
                     fmt::format("SELECT * FROM {} WHERE cell_id = ? AND prefix = ?", table));
      rows.bind(from, prefix);
      while (rows.step()) copy_row(rows, output, table, {{"cell_id", to}});
    }
  }
  return "";
}

}  // namespace skipbench
