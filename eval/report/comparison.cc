#include "eval/report/comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <memory>

#include "engine/base/error.h"
#include "eval/report/holm.h"
#include "eval/report/stored_statistics.h"

namespace skipbench {
namespace {

// The first row of each quality cell: rows of one cell at several batch sizes have the same scores.
std::vector<const TableRow*> quality_rows(const ResultTable& table, const std::string& dataset) {
  std::vector<const TableRow*> rows;
  for (const TableRow& row : table.rows) {
    // A mean over seeds has no outputs of its own to test.
    if (row.dataset != dataset || row.scores.empty() || row.seeds > 1) continue;
    const auto same = [&](const TableRow* other) {
      return other->quality_cell == row.quality_cell;
    };
    if (std::none_of(rows.begin(), rows.end(), same)) rows.push_back(&row);
  }
  return rows;
}

const TableScore* find_score(const TableRow& row, const std::string& name,
                             const std::string& signature) {
  for (const TableScore& score : row.scores) {
    if (score.name == name && score.signature == signature) return &score;
  }
  return nullptr;
}

class Comparer {
 public:
  Comparer(ResultStore& store, ResultTable& table, const ComparisonOptions& options)
      : store_(store), table_(table), options_(options) {}

  // Data set as shown, number of tests, and the scores that have so many.
  using Families = std::map<std::string, std::map<int64_t, std::vector<std::string>>>;

  Families run() {
    check_baseline(table_, options_.baseline);
    for (const StoredDataset& dataset : table_.config.datasets) {
      for (const StoredMetric& metric : stored_metrics(store_, table_.run_id, dataset)) {
        stored_ = &metric;
        for (const std::string& shown : shown_names(dataset.name)) compare(shown, *metric.metric);
      }
    }
    return families_;
  }

 private:
  // One for each point of the run's matrix.
  std::vector<std::string> shown_names(const std::string& data_name) const {
    std::vector<std::string> names;
    for (const TableRow& row : table_.rows) {
      if (row.data_name != data_name) continue;
      if (std::find(names.begin(), names.end(), row.dataset) == names.end()) {
        names.push_back(row.dataset);
      }
    }
    return names;
  }

  void compare(const std::string& dataset, const Metric& metric) {
    statistics_.clear();
    auto rows = quality_rows(table_, dataset);
    // A run that was stopped has measured the responses of some cells alone, and another program
    // has not seen those that were added since.
    std::erase_if(
        rows, [&](const TableRow* row) { return stored_->may_be_missing() && !has_score(*row); });
    for (const TableRow* row : rows) {
      const TableRow* baseline = baseline_of(*row, rows);
      if (baseline == row) continue;
      if (baseline == nullptr) {
        leave_untested(*row, why_no_baseline(dataset, rows));
        continue;
      }
      if (is_own_reference(*baseline)) {
        leave_untested(*row, "it is measured against `full` itself");
        continue;
      }
      const TableRow* pair[] = {row};
      const auto compared = test(metric, *baseline, pair);
      for (const ComparedScore& score : compared[1]) {
        set(*row, score.score.name, [&](TableScore& found) { found.p_value = score.p_value; });
      }
    }
    correct(metric, dataset, rows);
    for (const TableRow* row : rows) add_intervals(metric, *row);
    std::vector<double> targets;
    for (const TableRow* row : rows) {
      if (std::find(targets.begin(), targets.end(), row->target) != targets.end()) continue;
      targets.push_back(row->target);
      mark_best(metric, rows, row->target);
    }
  }

  // The tests of one score on one data set are a family.
  void correct(const Metric& metric, const std::string& dataset,
               const std::vector<const TableRow*>& rows) {
    if (rows.empty()) return;
    const std::string signature = signature_of(*rows[0]);
    for (const Score& one : metric.scores(statistics(*rows[0]).sum())) {
      std::vector<const TableRow*> tested;
      std::vector<double> p_values;
      for (const TableRow* row : rows) {
        const TableScore* score = find_score(*row, one.name, signature);
        if (score == nullptr || !score->p_value) continue;
        tested.push_back(row);
        p_values.push_back(*score->p_value);
      }
      const std::vector<double> corrected = holm_adjusted(p_values);
      for (size_t i = 0; i < tested.size(); ++i) {
        set(*tested[i], one.name, [&](TableScore& found) {
          found.p_holm = corrected[i];
          found.tests = std::ssize(tested);
        });
      }
      if (!tested.empty()) families_[dataset][std::ssize(tested)].push_back(one.name);
    }
  }

  // Of every row, tested or not: `compare_to_baseline` has none of a randomisation.
  void add_intervals(const Metric& metric, const TableRow& row) {
    const SegmentStats& stats = statistics(row);
    if (stats.n_segments == 0) return;
    const std::vector<Score> names = metric.scores(stats.sum());
    const auto intervals = bootstrap_intervals(metric, stats, options_.settings);
    for (size_t i = 0; i < names.size(); ++i) {
      set(row, names[i].name, [&](TableScore& found) {
        found.low = intervals[i].low;
        found.high = intervals[i].high;
      });
    }
  }

  // Of a distance to `full`, `full` has none by definition: there is nothing to test.
  bool is_own_reference(const TableRow& row) const {
    if (stored_->responses == nullptr || !stored_->responses->against_full) return false;
    Statement statement(store_.database(),
                        "SELECT resolved ->> '$.strategy' FROM cells WHERE id = ?");
    return statement.bind(row.quality_cell).step() && statement.text(0) == "full";
  }

  const TableRow* baseline_of(const TableRow& row, const std::vector<const TableRow*>& rows) const {
    const TableRow* only = nullptr;
    int count = 0;
    for (const TableRow* other : rows) {
      if (other->strategy != options_.baseline) continue;
      if (other->target == row.target) return other;
      only = other;
      ++count;
    }
    return count == 1 ? only : nullptr;
  }

  std::string why_no_baseline(const std::string& dataset,
                              const std::vector<const TableRow*>& rows) const {
    std::vector<std::string> targets;
    for (const TableRow* row : rows) {
      if (row->strategy == options_.baseline) targets.push_back(fmt::format("{:g}x", row->target));
    }
    if (!targets.empty()) {
      return fmt::format("`{}` has rows at {} and none at this target", options_.baseline,
                         fmt::join(targets, " and "));
    }
    const bool over_seeds = std::ranges::any_of(table_.rows, [&](const TableRow& row) {
      return row.strategy == options_.baseline && row.dataset == dataset && row.seeds > 1;
    });
    return fmt::format("`{}` {}", options_.baseline,
                       over_seeds ? "is a mean over runs, without outputs of its own"
                                  : "has no such score on these data");
  }

  void leave_untested(const TableRow& of, const std::string& reason) {
    const std::string signature = signature_of(of);
    for (TableRow& row : table_.rows) {
      if (row.quality_cell != of.quality_cell) continue;
      for (TableScore& score : row.scores) {
        if (score.signature == signature) score.untested = reason;
      }
    }
  }

  // For each score of the metric, the winner among `rows` at `target`, if it is one beyond chance.
  void mark_best(const Metric& metric, const std::vector<const TableRow*>& rows, double target) {
    std::vector<const TableRow*> group;
    for (const TableRow* row : rows) {
      if (row->target == target) group.push_back(row);
    }
    if (group.size() < 2) return;
    const std::vector<Score> names = metric.scores(statistics(*group[0]).sum());
    const std::string signature = signature_of(*group[0]);
    for (size_t i = 0; i < names.size(); ++i) {
      std::vector<const TableRow*> ranked;
      for (const TableRow* row : group) {
        if (find_score(*row, names[i].name, signature) != nullptr) ranked.push_back(row);
      }
      if (ranked.size() < 2) continue;
      const double sign = metric.higher_is_better() ? -1 : 1;
      std::stable_sort(ranked.begin(), ranked.end(), [&](const TableRow* a, const TableRow* b) {
        return sign * find_score(*a, names[i].name, signature)->value <
               sign * find_score(*b, names[i].name, signature)->value;
      });
      const auto compared = test(metric, *ranked[0], std::span(ranked).subspan(1));
      const bool beyond_chance =
          std::all_of(compared.begin() + 1, compared.end(), [&](const auto& scores) {
            return scores[i].p_value && *scores[i].p_value < options_.alpha;
          });
      if (!beyond_chance) continue;
      set(*ranked[0], names[i].name, [](TableScore& found) { found.best = true; });
    }
  }

  std::vector<std::vector<ComparedScore>> test(const Metric& metric, const TableRow& baseline,
                                               std::span<const TableRow* const> rows) {
    std::vector<SegmentStats> systems;
    for (const TableRow* row : rows) systems.push_back(statistics(*row));
    return compare_to_baseline(metric, statistics(baseline), systems, options_.test,
                               options_.settings);
  }

  // Of one metric at a time: `compare` forgets the last one's.
  const SegmentStats& statistics(const TableRow& row) {
    const auto found = statistics_.find(row.quality_cell);
    if (found != statistics_.end()) return found->second;
    return statistics_
        .emplace(row.quality_cell, stored_statistics(store_, row.quality_cell, *stored_))
        .first->second;
  }

  std::string signature_of(const TableRow& row) {
    return stored_->signature(statistics(row).n_references);
  }

  bool has_score(const TableRow& row) {
    const std::string signature = signature_of(row);
    return std::any_of(row.scores.begin(), row.scores.end(),
                       [&](const TableScore& score) { return score.signature == signature; });
  }

  void set(const TableRow& of, const std::string& name,
           const std::function<void(TableScore&)>& change) {
    const std::string signature = signature_of(of);
    for (TableRow& row : table_.rows) {
      if (row.quality_cell != of.quality_cell) continue;
      for (TableScore& score : row.scores) {
        if (score.name == name && score.signature == signature) change(score);
      }
    }
  }

  ResultStore& store_;
  ResultTable& table_;
  const ComparisonOptions& options_;
  Families families_;
  const StoredMetric* stored_ = nullptr;  // the one at hand
  std::map<int64_t, SegmentStats> statistics_;
};

std::string sizes_text(const Comparer::Families& families) {
  std::vector<std::string> texts;
  for (const auto& [dataset, sizes] : families) {
    std::vector<std::string> parts;
    for (const auto& [tests, scores] : sizes) {
      parts.push_back(fmt::format("{} of {}", tests, fmt::join(scores, ", ")));
    }
    texts.push_back(
        fmt::format("{}{}", families.size() > 1 ? dataset + ": " : "", fmt::join(parts, ", ")));
  }
  return fmt::format("{}", fmt::join(texts, "; "));
}

}  // namespace

void check_baseline(const ResultTable& table, const std::string& baseline) {
  std::vector<std::string> known;
  for (const TableRow& row : table.rows) {
    if (row.strategy == baseline) return;
    if (std::find(known.begin(), known.end(), row.strategy) == known.end()) {
      known.push_back(row.strategy);
    }
  }
  throw unknown_name("strategy", baseline, known, "--baseline");
}

void compare_strategies(ResultStore& store, ResultTable& table, const ComparisonOptions& options) {
  const Comparer::Families families = Comparer(store, table, options).run();
  for (TableRow& row : table.rows) {
    if (row.seeds == 1 || row.strategy == options.baseline) continue;
    for (TableScore& score : row.scores) {
      score.untested = "a mean over runs has no outputs of its own";
    }
  }
  table.comparison = fmt::format(
      "p: of the difference from `{}` on the stored outputs, {}, {}, seed {}. Bold: the best at "
      "its target, with p < {:g} against every other strategy there.",
      options.baseline,
      options.test == PairedTest::kBootstrap
          ? "as sacreBLEU's paired bootstrap counts it: about half of a two-sided p, which "
            "paired-ar gives"
          : "two-sided: how likely one at least as large would be, were both the same; "
            "approximate randomisation",
      options.test == PairedTest::kBootstrap
          ? fmt::format("{} resamples", options.settings.resamples)
          : fmt::format("{} trials", options.settings.trials),
      options.settings.seed, options.alpha);
  table.shows_correction = options.shows_correction;
  if (!families.empty()) {
    table.correction = fmt::format(
        "p Holm: p corrected (Holm 1979) for all tests of a score on a data set, every strategy's "
        "of the run, whatever rows are shown, once for all its batch sizes: {}.",
        sizes_text(families));
  }
  table.interval = fmt::format(
      "low and high: 95 % bootstrap interval, {} resamples of the texts or, where references were "
      "read, of these; seed {}",
      options.settings.resamples, options.settings.seed);
}

}  // namespace skipbench
