#include "eval/report/layer_notes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include "eval/calibration.h"
#include "eval/report/layout.h"
#include "eval/report/row_statistics.h"

namespace skipbench {
namespace {

constexpr double kLayersApart = 0.05;  // of the scored outputs' layers

bool is_timed_otherwise(const TableRow& row) {
  return row.layers && row.timed_layers &&
         std::abs(*row.timed_layers - row.layers->mean) > kLayersApart * row.layers->mean;
}

// "early_exit 5x (scored 6.20, timed 7.09)", with the data set where there are several, and with
// the batch size where others of the point are not alike.
std::vector<std::string> rows_timed_otherwise(const ResultTable& table) {
  std::vector<std::string> names;
  const bool one_dataset = datasets_of(table).size() == 1;
  const auto numbers = [](const TableRow& row) {
    return fmt::format("scored {:.2f}, timed {:.2f}", row.layers->mean, *row.timed_layers);
  };
  for (const TableRow& row : table.rows) {
    if (!is_timed_otherwise(row)) continue;
    const bool is_like_others = std::ranges::all_of(table.rows, [&](const TableRow& other) {
      return other.strategy != row.strategy || other.target != row.target ||
             other.dataset != row.dataset ||
             (is_timed_otherwise(other) && numbers(other) == numbers(row));
    });
    std::string name = fmt::format("{} {:g}x", row.strategy, row.target);
    if (!one_dataset) name += ", " + row.dataset;
    if (!is_like_others) name += fmt::format(", batch {}", row.batch.value_or(0));
    name += " (" + numbers(row) + ")";
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

// A point of a matrix may have a model of its own.
int layers_of_model(const ResultTable& table, const TableRow& row) {
  for (const ResultStore::RunVariant& one : table.variants) {
    if (one.variant == row.variant) return one.num_layers;
  }
  return table.run.num_layers;
}

// K; nothing where the strategy has none. What drafts counts work, not depth: it may exceed N.
std::optional<int> budget_of(const ResultTable& table, const TableRow& row) {
  const int num_layers = layers_of_model(table, row);
  const bool has_budget = row.strategy_name != "full" && has_target(row) && !row.verify_calls;
  if (!has_budget || num_layers < 1) return std::nullopt;
  if (!(row.target >= 1 && row.target <= std::max(1.0, num_layers / 2.0))) return std::nullopt;
  return layer_budget(num_layers, row.target);
}

bool is_marked_off_target(const TableRow& row) {
  return row.calibration && !row.calibration->on_target;
}

// Rows on one side of their budget, each strategy's together: "adaskip 2x (14.02 of 15), 3x (8.98
// of 10)", with the data set where there are several. A row at several batch sizes stands once.
struct OffBudget {
  std::vector<std::pair<std::string, std::vector<std::string>>> strategies;  // name, points
  bool leaves_out = false;  // a row that is marked already

  void add(const std::string& name, std::string point) {
    auto found =
        std::ranges::find_if(strategies, [&](const auto& one) { return one.first == name; });
    if (found == strategies.end()) found = strategies.insert(found, {name, {}});
    auto& points = found->second;
    if (std::ranges::find(points, point) == points.end()) points.push_back(std::move(point));
  }

  std::string text() const {
    std::vector<std::string> names;
    for (const auto& [name, points] : strategies) {
      names.push_back(fmt::format("{} {}", name, fmt::join(points, ", ")));
    }
    return fmt::format("{}{}.", fmt::join(names, "; "),
                       leaves_out ? " (beside those marked off target)" : "");
  }
};

std::vector<std::string> budget_notes(const ResultTable& table) {
  OffBudget more, fewer;
  const bool one_dataset = datasets_of(table).size() == 1;
  for (const TableRow& row : table.rows) {
    const auto budget = budget_of(table, row);
    if (!budget || !row.layers) continue;
    const double apart = row.layers->mean - *budget;
    if (std::abs(apart) <= kBudgetTolerance * *budget) continue;
    OffBudget& side = apart > 0 ? more : fewer;
    if (is_marked_off_target(row)) {
      side.leaves_out = true;
      continue;
    }
    side.add(one_dataset ? row.strategy : fmt::format("{}, {},", row.strategy, row.dataset),
             fmt::format("{:g}x ({:.2f} of {})", row.target, row.layers->mean, *budget));
  }
  std::vector<std::string> notes;
  for (const auto& [side, direction, effect] :
       {std::tuple(&more, "more", "favours"), {&fewer, "fewer", "handicaps"}}) {
    if (side->strategies.empty()) continue;
    notes.push_back(
        fmt::format("While scored, these rows of the run ran over {:g} % {} layers per decoding "
                    "step than their budget K, "
                    "which {} their quality: {}",
                    100 * kBudgetTolerance, direction, effect, side->text()));
  }
  return notes;
}

}  // namespace

std::vector<std::string> layer_notes(const ResultTable& table) {
  std::vector<std::string> notes = budget_notes(table);
  const auto names = rows_timed_otherwise(table);
  if (names.empty()) return notes;
  notes.push_back(fmt::format(
      "Speed and quality of these rows are of numbers of layers more than {:g} % apart: {}. Where "
      "the number follows a text's length, `timing.new_tokens` near the length of the scored texts "
      "brings them together, for skip_decode with an `expected_length` near it too.",
      100 * kLayersApart, fmt::join(names, "; ")));
  return notes;
}

}  // namespace skipbench
