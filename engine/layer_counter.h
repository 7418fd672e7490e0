// The sublayers that a pass runs, counted row by row where their operations are issued: what the
// realised layers are made of. Nothing here knows what a strategy has asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "strategies/layer_set.h"

namespace skipbench {

// What the rows of a pass have run, all rows together.
struct RanLayers {
  LayerSet layers;    // sublayers that some row has run
  int32_t least = 0;  // sublayers of the row that has run fewest, each as often as it ran
  int32_t most = 0;   // and of the one that has run most
};

// Throws Error, a contradiction within this program, unless every row has run each sublayer of
// `declared` once and no other. `pass` and, where there is one, `step` name the pass.
void check_ran(const RanLayers& ran, const LayerSet& declared, std::string_view pass,
               std::optional<int> step = {});

class LayerCounter {
 public:
  // A pass of `rows` rows, none of which has run anything.
  void begin(int num_layers, int64_t rows);

  // The sublayer's operations have been issued once for rows [begin, begin + count).
  void attention_ran(int layer, int64_t begin, int64_t count);
  void mlp_ran(int layer, int64_t begin, int64_t count);

  // Rows whose hidden states are kept and brought back have run what they had then: what they went
  // along with in between did nothing for them.
  void keep(int64_t begin, int64_t count);
  void bring_back(int64_t begin, int64_t count);

  // New row i is old row order[i].
  void permute(std::span<const int32_t> order);

  // [rows], sublayers run; until the next change.
  std::span<const int32_t> sublayers() const { return sublayers_; }
  RanLayers ran() const;

 private:
  void add(int64_t begin, int64_t count);

  LayerSet layers_;
  std::vector<int32_t> sublayers_;  // [rows]
  std::vector<int32_t> kept_;       // [rows]
  std::vector<int32_t> permuted_;
};

}  // namespace skipbench
