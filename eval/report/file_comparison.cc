#include "eval/report/file_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/base/error.h"
#include "eval/report/stored_statistics.h"
#include "eval/store/cell_settings.h"

namespace skipbench {
namespace {

bool same_point(const TableRow& a, const TableRow& b) {
  return a.strategy == b.strategy && a.target == b.target && a.data_name == b.data_name &&
         a.variant == b.variant;
}

// The row at `row`'s point and batch size, else the first at its point; null without one.
const TableRow* partner_of(const TableRow& row, const std::vector<TableRow>& rows) {
  const TableRow* found = nullptr;
  for (const TableRow& other : rows) {
    if (!same_point(row, other)) continue;
    if (row.batch == other.batch) return &other;
    if (found == nullptr) found = &other;
  }
  return found;
}

std::string point_name(const TableRow& row) {
  return fmt::format("{} {:g}x, {}{}", row.strategy, row.target, row.dataset,
                     row.batch ? fmt::format(", batch {}", *row.batch) : "");
}

std::string settings_of(ResultStore& store, int64_t cell) {
  Statement rows(store.database(), "SELECT resolved FROM cells WHERE id = ?");
  return rows.bind(cell).step() ? rows.text(0) : "";
}

std::optional<double> share_of_texts_that_differ(ResultStore& store_a, int64_t a,
                                                 ResultStore& store_b, int64_t b) {
  const std::vector<OutputRecord> ours = store_a.outputs(a), theirs = store_b.outputs(b);
  if (ours.empty() || ours.size() != theirs.size()) return std::nullopt;
  double differ = 0;
  for (size_t i = 0; i < ours.size(); ++i) differ += ours[i].text != theirs[i].text ? 1 : 0;
  return differ / static_cast<double>(ours.size());
}

// Tests each score of the data set's metrics once for a pair of quality cells.
class PairTester {
 public:
  PairTester(ResultStore& a, ResultStore& b, const FileComparison& comparison)
      : a_(a), b_(b), comparison_(comparison) {}

  // p by signature and name; empty where nothing can be tested.
  const std::map<std::string, double>& p_values(const TableRow& a, const TableRow& b) {
    const auto [found, is_new] = known_.try_emplace({a.quality_cell, b.quality_cell});
    if (is_new && comparison_.test) test(a, b, found->second);
    return found->second;
  }

 private:
  void test(const TableRow& a, const TableRow& b, std::map<std::string, double>& p_values) {
    for (const StoredDataset& dataset : comparison_.table_a.config.datasets) {
      if (dataset.name != a.data_name) continue;
      for (const StoredMetric& metric : stored_metrics(a_, comparison_.table_a.run_id, dataset)) {
        const SegmentStats before = stored_statistics(a_, a.quality_cell, metric);
        const SegmentStats after[] = {stored_statistics(b_, b.quality_cell, metric)};
        if (before.n_segments == 0 || before.n_segments != after[0].n_segments) continue;
        const std::string signature = metric.signature(before.n_references);
        const auto compared = compare_to_baseline(*metric.metric, before, after, *comparison_.test,
                                                  comparison_.settings);
        for (const ComparedScore& score : compared[1]) {
          if (score.p_value) p_values[signature + score.score.name] = *score.p_value;
        }
      }
    }
  }

  ResultStore& a_;
  ResultStore& b_;
  const FileComparison& comparison_;
  std::map<std::pair<int64_t, int64_t>, std::map<std::string, double>> known_;
};

PointPair pair_of(ResultStore& store_a, const TableRow& a, ResultStore& store_b, const TableRow& b,
                  PairTester& tester) {
  PointPair pair{.a = a, .b = b, .same_batch = a.batch == b.batch};
  const std::string settings = settings_of(store_a, a.quality_cell);
  pair.settings = differing_settings(settings, settings_of(store_b, b.quality_cell));
  pair.same_data = a.seeds == 1 && b.seeds == 1 && !settings.empty() &&
                   std::ranges::find(pair.settings, "data") == pair.settings.end();
  if (pair.same_data) {
    pair.texts_differ =
        share_of_texts_that_differ(store_a, a.quality_cell, store_b, b.quality_cell);
  }
  for (const TableScore& ours : a.scores) {
    for (const TableScore& theirs : b.scores) {
      if (ours.name != theirs.name || ours.signature != theirs.signature) continue;
      ScorePair score{ours.name, ours.signature, ours.value, theirs.value, std::nullopt};
      if (pair.same_data) {
        const auto& p_values = tester.p_values(a, b);
        const auto found = p_values.find(ours.signature + ours.name);
        if (found != p_values.end()) score.p_value = found->second;
      }
      pair.scores.push_back(std::move(score));
    }
  }
  return pair;
}

}  // namespace

FileComparison compare_files(const std::string& file_a, const std::string& file_b,
                             std::optional<PairedTest> test, const SignificanceSettings& settings) {
  FileComparison comparison{.file_a = file_a, .file_b = file_b, .test = test, .settings = settings};
  ResultStore store_a(file_a, OpenMode::kReadOnly), store_b(file_b, OpenMode::kReadOnly);
  comparison.table_a = load_result_table(store_a);
  comparison.table_b = load_result_table(store_b);
  PairTester tester(store_a, store_b, comparison);
  const std::vector<TableRow>&rows_a = comparison.table_a.rows, &rows_b = comparison.table_b.rows;
  for (const TableRow& a : rows_a) {
    const TableRow* b = partner_of(a, rows_b);
    if (b == nullptr) {
      comparison.only_a.push_back(point_name(a));
    } else {
      comparison.points.push_back(pair_of(store_a, a, store_b, *b, tester));
    }
  }
  for (const TableRow& b : rows_b) {
    // At a batch size of its own it has speeds that nothing stands beside.
    const TableRow* a = partner_of(b, rows_a);
    if (a == nullptr || (b.batch && a->batch != b.batch)) {
      comparison.only_b.push_back(point_name(b));
    }
  }
  if (!comparison.points.empty()) return comparison;
  throw Error({.what = "the two files have no point in common",
               .where = file_b,
               .expected = "a strategy at a target and data set of " + file_a,
               .got = comparison.only_b.empty()
                          ? "no row"
                          : "'" + comparison.only_b.front() + "' and others"});
}

}  // namespace skipbench
