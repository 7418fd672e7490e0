// Longest common subsequences with bit vectors (Crochemore et al. 2001, Hyyro 2004): a row of the
// dynamic programming table is one bit per column, and 64 columns take one step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace skipbench {

// Reuse one object for many pairs; tokens are dense ids below `n_ids`.
class LcsFinder {
 public:
  // Length of the longest common subsequence.
  int64_t length(std::span<const uint32_t> rows, std::span<const uint32_t> columns, uint32_t n_ids);

  // Sets used[i] for the positions i of `rows` that one longest common subsequence takes; leaves
  // the others alone. Among several it takes the one that rouge_score's backtracking finds: from
  // the end, a match is taken, else the column is dropped only if that alone keeps the length.
  void mark(std::span<const uint32_t> rows, std::span<const uint32_t> columns, uint32_t n_ids,
            std::vector<bool>* used);

 private:
  void index_columns(std::span<const uint32_t> columns, uint32_t n_ids);
  void next_row(uint32_t token);
  bool grows(size_t row, size_t column) const;

  static constexpr uint32_t kEnd = 0xFFFFFFFF;
  std::vector<uint32_t> first_, next_;  // [n_ids], [columns]: columns that hold a token
  std::vector<uint64_t> row_, match_;   // [words]; bit j of row_ is 0 where the length grows
  std::vector<uint64_t> table_;         // [1 + rows][words]: row_ before and after every row
  size_t words_ = 0;
};

}  // namespace skipbench
