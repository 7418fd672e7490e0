#include "engine/layer_counter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>
#include <utility>

#include "engine/base/error.h"

namespace skipbench {
namespace {

std::string describe(const LayerSet& layers, int32_t least, int32_t most) {
  return fmt::format("{}{} sublayers a row, of attention [{}] and MLP [{}]",
                     least == most ? "" : fmt::format("{} to ", least), most,
                     fmt::join(layers.attention_list(), ","), fmt::join(layers.mlp_list(), ","));
}

}  // namespace

void check_ran(const RanLayers& ran, const LayerSet& declared, std::string_view pass,
               std::optional<int> step) {
  const auto sublayers = static_cast<int32_t>(std::lround(2 * declared.layers()));
  if (ran.layers == declared && ran.least == sublayers && ran.most == sublayers) return;
  throw Error({.what = "the engine contradicts itself: the layers that ran are not the strategy's",
               .where = step ? fmt::format("{} {}", pass, *step) : std::string(pass),
               .expected = describe(declared, sublayers, sublayers),
               .got = describe(ran.layers, ran.least, ran.most),
               .hint = "the fault is this program's; nothing of this run is to be trusted"});
}

void LayerCounter::begin(int num_layers, int64_t rows) {
  layers_ = LayerSet::none(num_layers);
  sublayers_.assign(static_cast<size_t>(rows), 0);
}

void LayerCounter::add(int64_t begin, int64_t count) {
  assert(begin >= 0 && begin + count <= std::ssize(sublayers_));
  for (int64_t row = begin; row < begin + count; ++row) ++sublayers_[static_cast<size_t>(row)];
}

void LayerCounter::attention_ran(int layer, int64_t begin, int64_t count) {
  layers_.set_attention(layer, true);
  add(begin, count);
}

void LayerCounter::mlp_ran(int layer, int64_t begin, int64_t count) {
  layers_.set_mlp(layer, true);
  add(begin, count);
}

void LayerCounter::keep(int64_t begin, int64_t count) {
  kept_.resize(sublayers_.size());
  std::copy_n(sublayers_.begin() + begin, count, kept_.begin() + begin);
}

void LayerCounter::bring_back(int64_t begin, int64_t count) {
  assert(begin + count <= std::ssize(kept_));
  std::copy_n(kept_.begin() + begin, count, sublayers_.begin() + begin);
}

void LayerCounter::permute(std::span<const int32_t> order) {
  assert(order.size() == sublayers_.size());
  permuted_.clear();
  for (const int32_t row : order) permuted_.push_back(sublayers_[static_cast<size_t>(row)]);
  std::swap(sublayers_, permuted_);
}

RanLayers LayerCounter::ran() const {
  if (sublayers_.empty()) return {layers_, 0, 0};
  const auto [least, most] = std::minmax_element(sublayers_.begin(), sublayers_.end());
  return {layers_, *least, *most};
}

}  // namespace skipbench
