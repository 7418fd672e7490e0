// Exact counting of tokens and n-grams of one segment without building strings.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skipbench {

constexpr uint32_t kNoToken = 0xFFFFFFFF;

// Dense ids for the distinct tokens of one segment. Keeps its own copy of their bytes.
class TokenIds {
 public:
  void clear();
  uint32_t insert(std::string_view token);      // the token's id, a new one if need be
  uint32_t find(std::string_view token) const;  // kNoToken if it was never inserted
  uint32_t size() const { return size_; }

 private:
  struct Slot {
    size_t hash = 0;
    size_t begin = 0, bytes = 0;  // of the token in bytes_
    uint32_t generation = 0;      // slots of older generations are free: clear() is O(1)
    uint32_t id = 0;
  };
  size_t probe(std::string_view token, size_t hash) const;
  void grow();

  std::vector<Slot> slots_;  // power of two, at most half full
  std::string bytes_;
  uint32_t generation_ = 1;
  uint32_t size_ = 0;
};

// The n-grams of a segment's references (1 <= n <= max_order) as a trie kept in one hash table:
// a node is (its prefix's node, the last token), so that equality is exact for any order.
class NgramMatcher {
 public:
  void clear(int max_order);

  // Merges the n-gram counts of one more reference by maximum (clipping against several
  // references, Papineni et al. 2002). Not allowed after match().
  void add_reference(std::span<const uint32_t> tokens);

  // matches[n - 1] = sum over the n-grams g of `tokens` of min(count of g, references' count of
  // g). kNoToken matches nothing. Once per clear().
  void match(std::span<const uint32_t> tokens, std::span<int64_t> matches);  // [max_order]

 private:
  struct Slot {
    uint64_t key = 0;  // prefix's node << 32 | token; the root is node 0
    uint32_t generation = 0;
    uint32_t node = 0;
    uint32_t reference = 0;  // the last reference that had it, from 1
    uint32_t count = 0;      // in that reference
    uint32_t max_count = 0;  // over all references
    uint32_t matched = 0;    // occurrences seen by match()
  };
  size_t probe(uint64_t key) const;
  Slot& find_or_insert(uint64_t key);
  void grow();

  int max_order_ = 0;
  std::vector<Slot> slots_;  // power of two, at most half full
  uint32_t generation_ = 1;
  uint32_t n_nodes_ = 0;
  uint32_t n_references_ = 0;
};

}  // namespace skipbench
