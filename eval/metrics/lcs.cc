#include "eval/metrics/lcs.h"

#include <algorithm>
#include <bit>

namespace skipbench {

void LcsFinder::index_columns(std::span<const uint32_t> columns, uint32_t n_ids) {
  first_.assign(n_ids, kEnd);
  next_.resize(columns.size());
  for (size_t j = columns.size(); j-- > 0;) {
    next_[j] = first_[columns[j]];
    first_[columns[j]] = static_cast<uint32_t>(j);
  }
  words_ = (columns.size() + 63) / 64;
  row_.assign(words_, ~uint64_t{0});
  match_.assign(words_, 0);
}

// row = (row + (row & match)) | (row & ~match) over all words, with carry.
void LcsFinder::next_row(uint32_t token) {
  if (first_[token] == kEnd) return;  // no match: the row stays as it is
  for (uint32_t j = first_[token]; j != kEnd; j = next_[j]) {
    match_[j / 64] |= uint64_t{1} << (j % 64);
  }
  uint64_t carry = 0;
  for (size_t w = 0; w < words_; ++w) {
    const uint64_t taken = row_[w] & match_[w];
    const uint64_t partial = row_[w] + taken;
    const uint64_t sum = partial + carry;
    carry = (partial < taken) | (sum < partial);
    row_[w] = sum | (row_[w] & ~match_[w]);
    match_[w] = 0;
  }
}

int64_t LcsFinder::length(std::span<const uint32_t> rows, std::span<const uint32_t> columns,
                          uint32_t n_ids) {
  index_columns(columns, n_ids);
  for (const uint32_t token : rows) next_row(token);
  int64_t length = 0;  // bits beyond the last column stay 1
  for (const uint64_t word : row_) length += std::popcount(~word);
  return length;
}

bool LcsFinder::grows(size_t row, size_t column) const {
  return (table_[row * words_ + column / 64] >> (column % 64) & 1) == 0;
}

void LcsFinder::mark(std::span<const uint32_t> rows, std::span<const uint32_t> columns,
                     uint32_t n_ids, std::vector<bool>* used) {
  if (rows.empty() || columns.empty()) return;
  index_columns(columns, n_ids);
  table_.assign(words_, ~uint64_t{0});  // row 0: no tokens, all lengths 0
  for (const uint32_t token : rows) {
    next_row(token);
    table_.insert(table_.end(), row_.begin(), row_.end());
  }

  // Lengths of the first j columns against the first i rows, and against the first i - 1.
  const auto prefix_length = [&](size_t row, size_t n_columns) {
    int64_t length = 0;
    const uint64_t* words = table_.data() + row * words_;
    for (size_t w = 0; w < n_columns / 64; ++w) length += std::popcount(~words[w]);
    if (n_columns % 64 != 0) {
      length += std::popcount(~words[n_columns / 64] & ((uint64_t{1} << n_columns % 64) - 1));
    }
    return length;
  };
  size_t i = rows.size(), j = columns.size();
  int64_t here = prefix_length(i, j), above = prefix_length(i - 1, j);
  while (i > 0 && j > 0) {
    const bool match = rows[i - 1] == columns[j - 1];
    const int64_t left = here - grows(i, j - 1);
    if (match) (*used)[i - 1] = true;
    if (!match && left > above) {
      above -= grows(i - 1, j - 1);
      here = left;
      --j;
      continue;
    }
    --i;
    if (match) --j;
    if (i == 0) break;
    here = prefix_length(i, j);
    above = prefix_length(i - 1, j);
  }
}

}  // namespace skipbench
