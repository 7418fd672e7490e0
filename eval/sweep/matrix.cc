#include "eval/sweep/matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "engine/base/error.h"

namespace skipbench {
namespace {

struct Axis {
  const char* name;
  const char* list;  // below `matrix`
  const char* to;
};

constexpr std::array kAxes = {
    Axis{"model", "models", "model.path"},    Axis{"adapter", "adapters", "model.adapter"},
    Axis{"device", "devices", "device"},      Axis{"dtype", "dtypes", "model.dtype"},
    Axis{"beams", "beams", "decoding.beams"}, Axis{"seed", "seeds", "seed"},
};

constexpr size_t kMostMatrixPoints = 10'000;

// The last part of a path says enough where no two values share it.
std::string short_text(const AxisValue& value, const std::vector<std::vector<AxisValue>>& all) {
  if (value.axis != "model" && value.axis != "adapter") return value.text;
  const auto last = [](const std::string& text) {
    return std::filesystem::path(text.substr(0, text.find_last_not_of('/') + 1))
        .filename()
        .string();
  };
  std::set<std::string> same;
  for (const auto& point : all) {
    for (const AxisValue& other : point) {
      if (other.axis == value.axis && last(other.text) == last(value.text)) same.insert(other.text);
    }
  }
  return same.size() == 1 ? last(value.text) : value.text;
}

template <typename T>
bool holds(const std::vector<T>& wanted, const T& value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

bool holds_variant(const ExcludeRule& rule, const SweepConfig& config) {
  return holds(rule.models, config.model.path) && holds(rule.adapters, config.model.adapter.text) &&
         holds(rule.devices, config.device) && holds(rule.dtypes, config.model.dtype_name) &&
         holds<int64_t>(rule.beams, config.beams.beams) && holds(rule.seeds, config.seed);
}

void check_names(const std::vector<std::string>& names, const std::vector<std::string>& known,
                 const char* kind, const ExcludeRule& rule) {
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw unknown_name(kind, name, known, rule.where);
    }
  }
}

}  // namespace

std::vector<std::vector<AxisValue>> matrix_points(const YamlDocument& document) {
  const YamlSection matrix = YamlSection::root(document).section("matrix");
  std::vector<std::vector<AxisValue>> points(1);
  for (const Axis& axis : kAxes) {
    const std::vector<std::string> texts = matrix.texts(axis.list);
    if (texts.empty()) continue;
    if (points.size() * texts.size() > kMostMatrixPoints) {
      throw Error({.what = fmt::format("a matrix of more than {} points", kMostMatrixPoints),
                   .where = matrix.where(axis.list)});
    }
    std::vector<std::vector<AxisValue>> longer;
    for (const auto& point : points) {
      for (size_t i = 0; i < texts.size(); ++i) {
        if (std::find(texts.begin(), texts.begin() + static_cast<int64_t>(i), texts[i]) !=
            texts.begin() + static_cast<int64_t>(i)) {
          throw Error({.what = fmt::format("value '{}' given twice", texts[i]),
                       .where = matrix.where(axis.list)});
        }
        longer.push_back(point);
        longer.back().push_back(
            {axis.name, texts[i], fmt::format("matrix.{}[{}]", axis.list, i), axis.to, i});
      }
    }
    points = std::move(longer);
  }
  return points;
}

void apply_point(YamlDocument& document, const std::vector<AxisValue>& point) {
  for (const AxisValue& value : point) {
    const std::string list = value.from.substr(0, value.from.find('['));
    const YamlSection matrix = YamlSection::root(document).section("matrix");
    document.set(value.to, matrix.nodes(list.substr(list.find('.') + 1)).at(value.index),
                 value.from);
  }
}

std::string point_name(const std::vector<AxisValue>& point,
                       const std::vector<std::vector<AxisValue>>& all) {
  std::string name;
  for (const AxisValue& value : point) {
    const bool varies = std::any_of(all.begin(), all.end(), [&](const auto& other) {
      return std::any_of(other.begin(), other.end(), [&](const AxisValue& one) {
        return one.axis == value.axis && one.text != value.text;
      });
    });
    if (!varies) continue;
    name += fmt::format("{}{}={}", name.empty() ? "" : ", ", value.axis, short_text(value, all));
  }
  return name;
}

std::vector<ExcludeRule> read_exclude_rules(const YamlSection& root) {
  std::vector<ExcludeRule> rules;
  if (!root.has("exclude")) return rules;
  for (const YamlSection& section : root.sections("exclude")) {
    ExcludeRule rule{.where = section.where("strategy"),
                     .strategies = section.texts("strategy"),
                     .datasets = section.texts("dataset"),
                     .models = section.paths("model"),
                     .adapters = section.paths("adapter"),
                     .devices = section.texts("device"),
                     .dtypes = section.texts("dtype"),
                     .targets = section.numbers("target"),
                     .batch_sizes = section.integers("batch_size"),
                     .beams = section.integers("beams"),
                     .seeds = section.integers("seed")};
    if (rule.strategies.empty() && rule.datasets.empty() && rule.models.empty() &&
        rule.adapters.empty() && rule.devices.empty() && rule.dtypes.empty() &&
        rule.targets.empty() && rule.batch_sizes.empty() && rule.beams.empty() &&
        rule.seeds.empty()) {
      throw Error({.what = "a rule without a key would leave out everything",
                   .where = rule.where,
                   .expected = "as in {strategy: early_exit, target: 10}"});
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

void check_exclude_rules(const SweepConfig& config) {
  std::vector<std::string> strategies, datasets;
  for (const StrategySection& strategy : config.strategies) {
    strategies.push_back(strategy.label);
    if (!strategy.group.empty()) strategies.push_back(strategy.group);
  }
  for (const DatasetSection& dataset : config.datasets) datasets.push_back(dataset.name);
  for (const ExcludeRule& rule : config.exclude) {
    check_names(rule.strategies, strategies, "strategy", rule);
    check_names(rule.datasets, datasets, "data set", rule);
  }
}

bool SweepConfig::excludes_all() const {
  return std::any_of(exclude.begin(), exclude.end(), [&](const ExcludeRule& rule) {
    return holds_variant(rule, *this) && rule.strategies.empty() && rule.datasets.empty() &&
           rule.targets.empty() && rule.batch_sizes.empty();
  });
}

bool SweepConfig::excludes(const std::string& strategy, double target, const std::string& dataset,
                           std::optional<int64_t> batch) const {
  // A strategy of several seeds is named by their common label, too.
  std::string group = strategy;
  for (const StrategySection& section : strategies) {
    if (section.label == strategy && !section.group.empty()) group = section.group;
  }
  return std::any_of(exclude.begin(), exclude.end(), [&](const ExcludeRule& rule) {
    const bool fits_batch = rule.batch_sizes.empty() || (batch && holds(rule.batch_sizes, *batch));
    return fits_batch && holds_variant(rule, *this) &&
           (holds(rule.strategies, strategy) || holds(rule.strategies, group)) &&
           holds(rule.datasets, dataset) && holds(rule.targets, target);
  });
}

}  // namespace skipbench
