#include "eval/metrics/ter_edits.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <tuple>

namespace skipbench {
namespace {

// tercom's limits, and sacreBLEU's own on the number of shifts tried.
constexpr int kMaxShiftLength = 10;
constexpr int kMaxShiftDistance = 50;
constexpr int kBeamWidth = 25;
constexpr int kMaxShiftsTried = 1000;
constexpr int32_t kUnreached = 1 << 29;

// `words` with the block [start, start + length) moved to before `target`, a position of the
// old sequence; a target inside the block moves it right by target - start.
void move_block(std::span<const uint32_t> words, int start, int length, int target,
                std::vector<uint32_t>* out) {
  const int n = static_cast<int>(words.size());
  out->assign(words.begin(), words.end());
  const auto begin = out->begin();
  if (target < start) {
    std::rotate(begin + target, begin + start, begin + start + length);
    return;
  }
  const int end = target > start + length ? target : std::min(n, target + length);
  std::rotate(begin + start, begin + start + length, begin + end);
}

}  // namespace

bool TerEdits::Shift::better_than(const Shift& other) const {
  return std::tuple(gain, length, -start, -target) >
         std::tuple(other.gain, other.length, -other.start, -other.target);
}

void TerEdits::start_table(int n_hypothesis) {
  n_ = n_hypothesis;
  m_ = static_cast<int>(reference_.size());
  length_ratio_ = n_ > 0 ? static_cast<double>(m_) / n_ : 1.0;
  // Where the lengths differ a lot, neighbouring rows must still overlap.
  beam_ = kBeamWidth < length_ratio_ / 2
              ? static_cast<int>(std::ceil(length_ratio_ / 2 + kBeamWidth))
              : kBeamWidth;
  const size_t cells = (size_t{1} + n_) * (size_t{1} + m_);
  costs_.resize(cells);
  rows_.resize(cells);
  steps_.resize(cells);
  for (int j = 0; j <= m_; ++j) {
    costs_[j] = rows_[j] = j;
    steps_[j] = Step::kInsert;
  }
}

template <bool kSteps>
void TerEdits::fill_rows(std::span<const uint32_t> words, int first, std::vector<int32_t>* costs) {
  const size_t width = size_t{1} + m_;
  for (int i = first; i <= n_; ++i) {
    const int32_t* above = costs->data() + (i - 1) * width;
    int32_t* row = costs->data() + i * width;
    const int diagonal = static_cast<int>(std::floor(i * length_ratio_));
    const int begin = std::max(0, diagonal - beam_);
    const int end = i == n_ ? m_ + 1 : std::min(m_ + 1, diagonal + beam_);
    std::fill(row, row + begin, kUnreached);
    std::fill(row + end, row + width, kUnreached);
    const uint32_t word = words[i - 1];
    Step* steps = steps_.data() + i * width;
    int32_t left = kUnreached;
    for (int j = begin; j < end; ++j) {
      // Unreached cells may get costs a little above kUnreached: never the minimum of a path.
      const bool match = j > 0 && word == reference_[j - 1];
      const int32_t diagonal_cost = j > 0 ? above[j - 1] + (match ? 0 : 1) : kUnreached;
      const int32_t delete_cost = above[j] + 1;
      const int32_t best = std::min({diagonal_cost, delete_cost, left + 1});
      if constexpr (kSteps) {
        steps[j] = j > 0 && diagonal_cost == best ? (match ? Step::kMatch : Step::kSubstitute)
                   : delete_cost == best          ? Step::kDelete
                                                  : Step::kInsert;
      }
      row[j] = left = best;
    }
  }
}

// Reads the path through the table backwards: which hypothesis word stands at each reference
// word, and which words of both sides are errors.
void TerEdits::align() {
  aligned_.assign(m_, -1);
  hypothesis_errors_.assign(n_ + 1, 0);
  reference_errors_.assign(m_ + 1, 0);
  for (int i = n_, j = m_; i > 0 || j > 0;) {
    switch (steps_[i * (size_t{1} + m_) + j]) {
      case Step::kMatch:
      case Step::kSubstitute: {
        const int error = steps_[i * (size_t{1} + m_) + j] == Step::kSubstitute ? 1 : 0;
        hypothesis_errors_[i] = reference_errors_[j] = error;
        aligned_[j - 1] = i - 1;
        --i, --j;
        break;
      }
      case Step::kInsert:  // a reference word that the hypothesis lacks
        reference_errors_[j] = 1;
        aligned_[j - 1] = i - 1;
        --j;
        break;
      default:
        hypothesis_errors_[i] = 1;
        --i;
    }
  }
  for (int i = 1; i <= n_; ++i) hypothesis_errors_[i] += hypothesis_errors_[i - 1];
  for (int j = 1; j <= m_; ++j) reference_errors_[j] += reference_errors_[j - 1];
}

// Rows of shifted_ before its first changed word are those of words_.
int TerEdits::shifted_distance() {
  const size_t width = size_t{1} + m_;
  std::copy_n(costs_.data() + shifted_from_ * width, width, rows_.data() + shifted_from_ * width);
  fill_rows<false>(shifted_, shifted_from_ + 1, &rows_);
  return rows_[n_ * width + m_];
}

void TerEdits::try_shift(int start, int length, int target, Shift* best, bool* found) {
  ++checked_;
  const int before = costs_.back();
  int after = before;
  if (target != start) {
    move_block(words_, start, length, target, &shifted_);
    shifted_from_ = std::min(start, target);
    after = shifted_distance();
  }
  const Shift shift{before - after, length, start, target};
  if (*found && !shift.better_than(*best)) return;
  *best = shift;
  *found = true;
}

// The shift that saves most; false if there is none to try.
bool TerEdits::find_best_shift(Shift* best) {
  bool found = false;
  for (int start = 0; start < n_; ++start) {
    for (int at = std::max(0, start - kMaxShiftDistance);
         at < m_ && at - start <= kMaxShiftDistance; ++at) {
      const int longest = std::min({kMaxShiftLength, n_ - start, m_ - at});
      for (int length = 1; length <= longest; ++length) {
        if (words_[start + length - 1] != reference_[at + length - 1]) break;
        // Only where the words are wrong on both sides, and not onto themselves.
        if (hypothesis_errors_[start + length] == hypothesis_errors_[start]) continue;
        if (reference_errors_[at + length] == reference_errors_[at]) continue;
        if (start <= aligned_[at] && aligned_[at] < start + length) continue;
        int previous = -1;
        for (int offset = -1; offset < length; ++offset) {
          const int target = at + offset < 0 ? 0 : aligned_[at + offset] + 1;
          if (target == previous) continue;
          previous = target;
          try_shift(start, length, target, best, &found);
        }
        if (checked_ >= kMaxShiftsTried) return found;
      }
    }
  }
  return found;
}

int64_t TerEdits::count(std::span<const uint32_t> hypothesis, std::span<const uint32_t> reference) {
  if (reference.empty()) return static_cast<int64_t>(hypothesis.size());
  reference_ = reference;
  words_.assign(hypothesis.begin(), hypothesis.end());
  start_table(static_cast<int>(words_.size()));
  checked_ = 0;
  int shifts = 0;
  fill_rows<true>(words_, 1, &costs_);
  while (true) {
    align();
    Shift best;
    const bool found = find_best_shift(&best);
    if (checked_ >= kMaxShiftsTried || !found || best.gain <= 0) break;
    ++shifts;
    move_block(std::vector<uint32_t>(words_), best.start, best.length, best.target, &words_);
    fill_rows<true>(words_, 1, &costs_);
  }
  return shifts + costs_[n_ * (size_t{1} + m_) + m_];
}

}  // namespace skipbench
