// Edits and block shifts between two token sequences, with tercom's heuristics as sacreBLEU has
// them: a greedy search over shifts, scored by an edit distance in a beam around the diagonal.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace skipbench {

// Reuse one object for many pairs; tokens are ids.
class TerEdits {
 public:
  // Shifts plus insertions, deletions and substitutions. An empty reference costs one edit a token.
  int64_t count(std::span<const uint32_t> hypothesis, std::span<const uint32_t> reference);

 private:
  // What a cell of the edit distance table was reached by. tercom prefers the earlier on ties.
  enum class Step : uint8_t { kNone, kMatch, kSubstitute, kDelete, kInsert };

  struct Shift {
    int gain = 0, length = 0, start = 0, target = 0;
    bool better_than(const Shift& other) const;
  };

  void start_table(int n_hypothesis);
  // Rows first to n_hypothesis of the table over `words`, whose rows below `first` must be valid.
  template <bool kSteps>
  void fill_rows(std::span<const uint32_t> words, int first, std::vector<int32_t>* costs);
  void align();
  bool find_best_shift(Shift* best);
  void try_shift(int start, int length, int target, Shift* best, bool* found);
  int shifted_distance();

  std::span<const uint32_t> reference_;
  std::vector<uint32_t> words_, shifted_;
  int n_ = 0, m_ = 0;  // hypothesis and reference tokens
  double length_ratio_ = 1;
  int beam_ = 0;
  int checked_ = 0;             // shifts tried so far
  std::vector<int32_t> costs_;  // [n + 1, m + 1] of words_
  std::vector<Step> steps_;     // [n + 1, m + 1] of words_
  std::vector<int32_t> rows_;   // [n + 1, m + 1] of shifted_; row 0 as in costs_
  std::vector<int> aligned_;    // [m] reference position -> hypothesis position, -1 before all
  std::vector<int> hypothesis_errors_, reference_errors_;  // [n + 1], [m + 1] running sums
  int shifted_from_ = 0;  // the first word in which shifted_ differs from words_
};

}  // namespace skipbench
