#include "strategies/layer_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/base/error.h"
#include "strategies/params.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

bool is_protected(int layer, const Pruning& pruning, int num_layers) {
  return layer < pruning.first || layer >= num_layers - pruning.last;
}

std::vector<int> lowest_first(const std::vector<double>& scores, const Pruning& pruning) {
  const int num_layers = static_cast<int>(scores.size());
  std::vector<int> order;
  for (int layer = 0; layer < num_layers; ++layer) {
    if (!is_protected(layer, pruning, num_layers)) order.push_back(layer);
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] < scores[b]; });
  return order;
}

std::vector<int> nearest_block(const std::vector<double>& distance, const Pruning& pruning) {
  // distance[start], start in [0, N - count]
  const auto begin = distance.begin() + pruning.first;
  const auto end = distance.end() - pruning.last;
  std::vector<int> block(static_cast<size_t>(pruning.count));
  std::iota(block.begin(), block.end(),
            static_cast<int>(std::min_element(begin, end) - distance.begin()));
  return block;
}

class ScoreReader {
 public:
  explicit ScoreReader(std::string source) : source_(std::move(source)) {}

  LayerScores read(const Json& json) const {
    if (!json.is_object()) {
      throw refuse("no layer scores", R"(what `skipbench probe` prints: {"scores": {...}})");
    }
    LayerScores scores;
    for (const auto& [name, value] : json.items()) {
      if (name == "block_influence") scores.block_influence = numbers(value, name);
      if (name == "perplexity") scores.perplexity = numbers(value, name);
      if (name == "angular") {
        if (!value.is_array() || value.size() > LayerSet::kMaxLayers) throw not_numbers(name);
        for (const Json& row : value) scores.angular.push_back(numbers(row, name));
      }
      if (name == "greedy") {
        for (const double layer : numbers(value, name)) scores.greedy.push_back(as_layer(layer));
      }
      if (name == "attention") scores.attention = sublayers(value, name);
      if (name == "mlp") scores.mlp = sublayers(value, name);
    }
    return scores;
  }

 private:
  Error refuse(const std::string& what, const std::string& expected) const {
    return Error({.what = what, .where = source_, .expected = expected});
  }
  Error not_numbers(const std::string& name) const {
    return refuse("`scores." + name + "` is no list of numbers", "a list of finite numbers");
  }

  std::vector<double> numbers(const Json& list, const std::string& name) const {
    if (!list.is_array() || list.size() > LayerSet::kMaxLayers) throw not_numbers(name);
    std::vector<double> values;
    for (const Json& value : list) {
      if (!value.is_number() || !std::isfinite(value.get<double>())) throw not_numbers(name);
      values.push_back(value.get<double>());
    }
    return values;
  }

  SublayerScores sublayers(const Json& value, const std::string& name) const {
    if (!value.is_object() || !value.contains("similarity") || !value.contains("norm_ratio")) {
      throw refuse("`scores." + name + "` is not what `skipbench probe` prints",
                   R"({"similarity": [N numbers], "norm_ratio": [N numbers]})");
    }
    return {numbers(value["similarity"], name + ".similarity"),
            numbers(value["norm_ratio"], name + ".norm_ratio")};
  }

  int as_layer(double value) const {
    if (value >= 0 && value < LayerSet::kMaxLayers && value == std::floor(value)) {
      return static_cast<int>(value);
    }
    throw refuse("`scores.greedy` names no layer", "whole numbers from 0");
  }

  std::string source_;
};

}  // namespace

const std::vector<std::string>& layer_score_names() {
  static const std::vector<std::string> names = {"block_influence", "angular", "perplexity",
                                                 "greedy"};
  return names;
}

std::vector<int> removal_order(const Pruning& pruning, const LayerScores& scores, int num_layers,
                               const std::string& where) {
  if (pruning.count == 0) return {};
  const auto mismatch = [&](size_t expected, size_t got) {
    return Error({.what = fmt::format("scores '{}' do not fit the model",
                                      layer_score_names()[static_cast<size_t>(pruning.score)]),
                  .where = where,
                  .expected = fmt::format("{} numbers for {} layers", expected, num_layers),
                  .got = std::to_string(got)});
  };
  const auto layers = static_cast<size_t>(num_layers);
  const auto count = static_cast<size_t>(pruning.count);
  std::vector<int> order;
  if (pruning.score == LayerScore::kAngular) {
    if (scores.angular.size() != layers) throw mismatch(layers, scores.angular.size());
    const std::vector<double>& distance = scores.angular[count - 1];
    if (distance.size() != layers - count + 1) throw mismatch(layers - count + 1, distance.size());
    return nearest_block(distance, pruning);
  }
  if (pruning.score == LayerScore::kGreedy) {
    order = scores.greedy;
    std::vector<bool> seen(layers);
    for (const int layer : order) {
      if (layer >= num_layers || seen[static_cast<size_t>(layer)] ||
          is_protected(layer, pruning, num_layers)) {
        throw Error({.what = "scores 'greedy' remove a layer that is protected, twice or missing",
                     .where = where,
                     .expected = fmt::format("each layer of [{}, {}] at most once", pruning.first,
                                             num_layers - pruning.last - 1),
                     .got = std::to_string(layer)});
      }
      seen[static_cast<size_t>(layer)] = true;
    }
    if (order.size() < count) throw mismatch(count, order.size());
  } else {
    const bool influence = pruning.score == LayerScore::kBlockInfluence;
    const std::vector<double>& values = influence ? scores.block_influence : scores.perplexity;
    if (values.size() != layers) throw mismatch(layers, values.size());
    order = lowest_first(values, pruning);
  }
  order.resize(count);
  return order;
}

std::string layer_scores_json(const LayerScores& scores) {
  Json json = Json::object();
  if (!scores.block_influence.empty()) json["block_influence"] = scores.block_influence;
  if (!scores.angular.empty()) json["angular"] = scores.angular;
  if (!scores.perplexity.empty()) json["perplexity"] = scores.perplexity;
  if (!scores.greedy.empty()) json["greedy"] = scores.greedy;
  const auto add_sublayers = [&](const char* name, const SublayerScores& sublayers) {
    if (sublayers.similarity.empty()) return;
    json[name] = {{"similarity", sublayers.similarity}, {"norm_ratio", sublayers.norm_ratio}};
  };
  add_sublayers("attention", scores.attention);
  add_sublayers("mlp", scores.mlp);
  return json.dump();
}

LayerScores parse_layer_scores(const std::string& json, const std::string& source) {
  return ScoreReader(source).read(Json::parse(json, nullptr, /*allow_exceptions=*/false));
}

LayerScores read_layer_scores(const std::string& path, const std::string& where) {
  const std::string source = where + ": " + path;
  const std::string text = read_param_file(path, source, "layer scores", "numbers");
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool has_scores = json.is_object() && json.contains("scores");
  return ScoreReader(source).read(has_scores ? json["scores"] : Json());
}

}  // namespace skipbench
