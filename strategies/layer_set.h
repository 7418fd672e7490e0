// Which sublayers run: a fixed bitset of 2N (attention and MLP of each layer).
#pragma once

#include <bitset>
#include <cassert>
#include <string>
#include <vector>

namespace skipbench {

class LayerSet {
 public:
  static constexpr int kMaxLayers = 256;

  LayerSet() = default;
  static LayerSet all(int num_layers);
  static LayerSet none(int num_layers) { return LayerSet(num_layers); }
  // Whole layers; throws Error naming a layer outside [0, num_layers).
  static LayerSet of(int num_layers, const std::vector<int>& layers);

  int num_layers() const { return num_layers_; }
  bool attention(int layer) const { return bits_[2 * check(layer)]; }
  bool mlp(int layer) const { return bits_[2 * check(layer) + 1]; }
  bool any(int layer) const { return attention(layer) || mlp(layer); }
  void set_attention(int layer, bool run) { bits_[2 * check(layer)] = run; }
  void set_mlp(int layer, bool run) { bits_[2 * check(layer) + 1] = run; }
  void set_layer(int layer, bool run) {
    set_attention(layer, run);
    set_mlp(layer, run);
  }

  // Layers run: half a layer for one sublayer.
  double layers() const { return static_cast<double>(bits_.count()) / 2; }
  bool whole_layers() const;  // every layer runs both sublayers or neither
  // The longest run of consecutive layers that are skipped whole.
  int longest_skipped_run() const;
  std::vector<int> layer_list() const;  // layers with both sublayers
  std::vector<int> attention_list() const;
  std::vector<int> mlp_list() const;

  LayerSet operator|(const LayerSet& other) const;
  bool operator==(const LayerSet& other) const {
    return num_layers_ == other.num_layers_ && bits_ == other.bits_;
  }

 private:
  explicit LayerSet(int num_layers) : num_layers_(num_layers) {}
  int check([[maybe_unused]] int layer) const {
    assert(layer >= 0 && layer < num_layers_);
    return layer;
  }

  int num_layers_ = 0;
  std::bitset<2 * kMaxLayers> bits_;
};

}  // namespace skipbench
