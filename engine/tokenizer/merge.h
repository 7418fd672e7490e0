// The merge loop of BPE: a linked list of symbols and a heap of candidate pairs, O(n log n).
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

namespace skipbench {

struct Symbol {
  int32_t id = -1;     // -1: not in the vocabulary
  uint32_t begin = 0;  // bytes of the word that it stands for
  uint32_t end = 0;
};

struct Merge {
  double priority = 0;  // the lowest is merged first, of equals the leftmost
  int32_t id = -1;      // of the merged symbol
};

// Merges neighbours in `symbols` until `find(left, right)` finds no pair that merges any more.
// `find` returns std::optional<Merge>.
template <typename Find>
void merge_symbols(std::vector<Symbol>* symbols, const Find& find) {
  struct Candidate {
    double priority;
    int32_t left;
    int32_t right;
    int32_t id;
    uint32_t left_end;  // then: a symbol that has grown since is recognised
    uint32_t right_end;
    bool operator<(const Candidate& other) const {  // std::priority_queue pops the largest
      return priority != other.priority ? priority > other.priority : left > other.left;
    }
  };
  std::vector<Symbol>& s = *symbols;
  const auto count = static_cast<int32_t>(s.size());
  std::vector<int32_t> next(count), previous(count);
  std::vector<bool> alive(count, true);
  std::priority_queue<Candidate> candidates;
  const auto consider = [&](int32_t left, int32_t right) {
    if (left < 0 || right >= count) return;
    if (const std::optional<Merge> merge = find(s[left], s[right])) {
      candidates.push({merge->priority, left, right, merge->id, s[left].end, s[right].end});
    }
  };
  for (int32_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
    consider(i - 1, i);
  }
  while (!candidates.empty()) {
    const Candidate top = candidates.top();
    candidates.pop();
    const bool current = alive[top.left] && alive[top.right] && s[top.left].end == top.left_end &&
                         s[top.right].end == top.right_end;
    if (!current) continue;
    s[top.left] = {top.id, s[top.left].begin, s[top.right].end};
    alive[top.right] = false;
    next[top.left] = next[top.right];
    if (next[top.left] < count) previous[next[top.left]] = top.left;
    consider(previous[top.left], top.left);
    consider(top.left, next[top.left]);
  }
  size_t kept = 0;
  for (int32_t i = 0; i < count; ++i) {
    if (alive[i]) s[kept++] = s[i];
  }
  s.resize(kept);
}

}  // namespace skipbench
