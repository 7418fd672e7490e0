// random: K layers chosen by chance, the control that every other choice must beat. The first and
// the last layer always run, as in `unified`.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>

#include "strategies/constant_sets.h"
#include "strategies/params.h"

namespace skipbench {
namespace {

// SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"). Our
// own, since the standard library's distributions differ between machines.
class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t state) : state_(state) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  // Uniform over [0, bound): draws below 2^64 mod bound are thrown away.
  uint64_t below(uint64_t bound) {
    const uint64_t uneven = (0 - bound) % bound;
    uint64_t draw = next();
    while (draw < uneven) draw = next();
    return draw % bound;
  }

 private:
  uint64_t state_;
};

// The ends and `budget` - 2 of the layers between: the first places of a Fisher-Yates shuffle.
LayerSet draw_set(int num_layers, int budget, SplitMix64 generator) {
  if (budget >= num_layers) return LayerSet::all(num_layers);
  LayerSet set = LayerSet::of(num_layers, {0, num_layers - 1});
  std::vector<int> between(static_cast<size_t>(num_layers - 2));
  std::iota(between.begin(), between.end(), 1);
  for (size_t place = 0; place + 2 < static_cast<size_t>(budget); ++place) {
    std::swap(between[place], between[place + generator.below(between.size() - place)]);
    set.set_layer(between[place], true);
  }
  return set;
}

class RandomPerStep final : public SkipStrategy {
 public:
  RandomPerStep(int num_layers, int budget, uint64_t seed) : budget_(budget), seed_(seed) {
    for (int step = 0; step < kDrawnAhead; ++step) ahead_.push_back(draw(num_layers, step));
  }

  LayerSet step_layers(int num_layers, int step) const override {
    const auto place = static_cast<size_t>(step);
    const bool is_drawn = place < ahead_.size() && ahead_[place].num_layers() == num_layers;
    return is_drawn ? ahead_[place] : draw(num_layers, step);
  }
  // With a layer left to choose, any of them is chosen at some step.
  LayerSet any_step_layers(int num_layers) const override {
    return budget_ > 2 ? LayerSet::all(num_layers) : step_layers(num_layers, 0);
  }
  bool sets_can_grow() const override { return budget_ > 2; }

 private:
  // A draw takes longer than any other strategy's set: those of usual lengths are made before.
  static constexpr int kDrawnAhead = 256;

  // The step's own generator: a set depends on no other step.
  LayerSet draw(int num_layers, int step) const {
    const uint64_t seed_of_step = SplitMix64(seed_ + 1).next() + static_cast<uint64_t>(step);
    return draw_set(num_layers, budget_, SplitMix64(SplitMix64(seed_of_step).next()));
  }

  int budget_;
  uint64_t seed_;
  std::vector<LayerSet> ahead_;
};

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  const int budget = layer_budget(num_layers, spec.target, spec.where);
  const auto seed =
      static_cast<uint64_t>(param_integer(spec, "seed", 0, 0, std::numeric_limits<int>::max()));
  const bool per_step = param_choice(spec, "per", {"run", "step"}, 0) == 1;
  if (per_step && budget < num_layers) {
    return std::make_unique<RandomPerStep>(num_layers, budget, seed);
  }
  return std::make_unique<ConstantSets>(LayerSet::all(num_layers),
                                        draw_set(num_layers, budget, SplitMix64(seed)));
}

}  // namespace

StrategyInfo describe_random() {
  return {.name = "random",
          .summary = "a random set of K layers with the first and the last: the control",
          .paper = "",
          .kv_policy = "absent; per step, attention takes the entries that are there",
          .params = {{"seed", "0", "[0, 2147483647]", "gives the same sets on every machine"},
                     {"per", "run", "run, step", "one set for all steps, or one for each"}},
          .make = make};
}

}  // namespace skipbench
