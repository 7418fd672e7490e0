#include "strategies/layer_set.h"

#include <algorithm>

#include "engine/base/error.h"

namespace skipbench {

LayerSet LayerSet::all(int num_layers) {
  LayerSet set(num_layers);
  for (int layer = 0; layer < num_layers; ++layer) set.set_layer(layer, true);
  return set;
}

LayerSet LayerSet::of(int num_layers, const std::vector<int>& layers) {
  LayerSet set(num_layers);
  for (int layer : layers) {
    if (layer < 0 || layer >= num_layers) {
      throw Error({.what = "no such layer",
                   .expected = "a layer in [0, " + std::to_string(num_layers - 1) + "]",
                   .got = std::to_string(layer)});
    }
    set.set_layer(layer, true);
  }
  return set;
}

bool LayerSet::whole_layers() const {
  for (int layer = 0; layer < num_layers_; ++layer) {
    if (attention(layer) != mlp(layer)) return false;
  }
  return true;
}

int LayerSet::longest_skipped_run() const {
  int longest = 0;
  int run = 0;
  for (int layer = 0; layer < num_layers_; ++layer) {
    run = any(layer) ? 0 : run + 1;
    longest = std::max(longest, run);
  }
  return longest;
}

std::vector<int> LayerSet::layer_list() const {
  std::vector<int> list;
  for (int layer = 0; layer < num_layers_; ++layer) {
    if (attention(layer) && mlp(layer)) list.push_back(layer);
  }
  return list;
}

std::vector<int> LayerSet::attention_list() const {
  std::vector<int> list;
  for (int layer = 0; layer < num_layers_; ++layer) {
    if (attention(layer)) list.push_back(layer);
  }
  return list;
}

std::vector<int> LayerSet::mlp_list() const {
  std::vector<int> list;
  for (int layer = 0; layer < num_layers_; ++layer) {
    if (mlp(layer)) list.push_back(layer);
  }
  return list;
}

LayerSet LayerSet::operator|(const LayerSet& other) const {
  assert(num_layers_ == other.num_layers_);
  LayerSet set = *this;
  set.bits_ |= other.bits_;
  return set;
}

}  // namespace skipbench
