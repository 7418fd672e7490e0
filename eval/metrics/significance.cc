#include "eval/metrics/significance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "engine/base/error.h"
#include "eval/metrics/numpy_random.h"

namespace skipbench {
namespace {

using ScoreSamples = std::vector<std::vector<double>>;  // [scores][samples]

void check_settings(const SegmentStats& stats, int samples, const char* what) {
  if (samples < 1) {
    throw Error({.what = "a significance test needs samples",
                 .where = what,
                 .expected = "at least 1",
                 .got = std::to_string(samples)});
  }
  if (stats.n_segments < 1 || stats.n_segments > int64_t{0xFFFFFFFF}) {
    throw Error({.what = "cannot resample this number of segments",
                 .got = std::to_string(stats.n_segments)});
  }
}

void append_scores(const Metric& metric, std::span<const double> sums, ScoreSamples* samples) {
  const std::vector<Score> scores = metric.scores(sums);
  samples->resize(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) (*samples)[i].push_back(scores[i].score);
}

// A system's statistics as they are added up: counts as 32-bit integers, which is most of them and
// twice as fast; else as they are. The sums are the same, since both are exact.
class RowSums {
 public:
  explicit RowSums(const SegmentStats& stats) : stats_(stats) {
    const double most = static_cast<double>(INT32_MAX) /
                        static_cast<double>(std::max<int64_t>(1, stats.n_segments));
    if (!std::all_of(stats.rows.begin(), stats.rows.end(), [&](double value) {
          return value >= 0 && value <= most && value == std::floor(value);
        })) {
      return;
    }
    width_ = (stats.n_stats + 3) / 4 * 4;
    counts_.resize(static_cast<size_t>(stats.n_segments) * width_);
    for (int64_t segment = 0; segment < stats.n_segments; ++segment) {
      for (int i = 0; i < stats.n_stats; ++i) {
        counts_[segment * width_ + i] =
            static_cast<int32_t>(stats.rows[segment * stats.n_stats + i]);
      }
    }
  }

  // Of the drawn segments' rows.
  void add(std::span<const uint32_t> drawn, std::vector<double>* sums) const {
    if (counts_.empty()) return add_rows(stats_.rows.data(), stats_.n_stats, drawn, sums);
    add_rows(counts_.data(), width_, drawn, sums);
    sums->resize(stats_.n_stats);
  }

 private:
  // sums[i] = sum over the drawn segments of column first + i, held in registers.
  template <int kColumns, typename T>
  static void add_columns(const T* rows, int width, std::span<const uint32_t> drawn, int first,
                          double* sums) {
    T total[kColumns] = {};
    rows += first;
    for (const uint32_t segment : drawn) {
      const T* row = rows + static_cast<size_t>(segment) * width;
      for (int i = 0; i < kColumns; ++i) total[i] += row[i];
    }
    std::copy_n(total, kColumns, sums + first);
  }

  template <typename T>
  static void add_rows(const T* rows, int width, std::span<const uint32_t> drawn,
                       std::vector<double>* sums) {
    sums->resize(width);
    int first = 0;
    while (first < width) {
      const int left = width - first;
      const int columns = left >= 12 ? 12 : left >= 10 ? 10 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
      switch (columns) {
        case 12:
          add_columns<12>(rows, width, drawn, first, sums->data());
          break;
        case 10:
          add_columns<10>(rows, width, drawn, first, sums->data());
          break;
        case 4:
          add_columns<4>(rows, width, drawn, first, sums->data());
          break;
        case 2:
          add_columns<2>(rows, width, drawn, first, sums->data());
          break;
        default:
          add_columns<1>(rows, width, drawn, first, sums->data());
      }
      first += columns;
    }
  }

  const SegmentStats& stats_;
  int width_ = 0;
  std::vector<int32_t> counts_;
};

// The scores of all systems on the same resamples: [systems][scores][resamples].
std::vector<ScoreSamples> resample(const Metric& metric, std::span<const SegmentStats* const> all,
                                   const SignificanceSettings& settings) {
  check_settings(*all[0], settings.resamples, "resamples");
  NumpyRandom random(settings.seed);
  std::vector<uint32_t> drawn(all[0]->n_segments);
  std::vector<ScoreSamples> samples(all.size());
  std::vector<RowSums> rows;
  for (const SegmentStats* stats : all) rows.emplace_back(*stats);
  std::vector<double> sums;
  for (int sample = 0; sample < settings.resamples; ++sample) {
    random.choice(static_cast<uint32_t>(drawn.size()), drawn);
    for (size_t system = 0; system < all.size(); ++system) {
      rows[system].add(drawn, &sums);
      append_scores(metric, sums, &samples[system]);
    }
  }
  return samples;
}

// With one added to both counts, as if the real difference were one of the samples: the test then
// never rejects too often.
double p_value(std::span<const double> samples, double real_difference) {
  const auto larger = std::count_if(samples.begin(), samples.end(),
                                    [&](double sample) { return sample > real_difference; });
  return static_cast<double>(larger + 1) / static_cast<double>(samples.size() + 1);
}

// The bootstrap's differences are centred: under the null hypothesis they lie around zero.
double bootstrap_p_value(std::span<const double> baseline, std::span<const double> system,
                         double real_difference) {
  std::vector<double> differences(baseline.size());
  double mean = 0;
  for (size_t i = 0; i < baseline.size(); ++i) {
    differences[i] = std::abs(system[i] - baseline[i]);
    mean += differences[i];
  }
  mean /= static_cast<double>(differences.size());
  for (double& difference : differences) difference -= mean;
  return p_value(differences, real_difference);
}

// |difference| of the scores after swapping the two systems' rows at random: [scores][trials].
ScoreSamples randomised_differences(const Metric& metric, const SegmentStats& baseline,
                                    const SegmentStats& system,
                                    const SignificanceSettings& settings) {
  NumpyRandom random(settings.seed);
  const int n_stats = baseline.n_stats;
  NumpyCoins coins(&random);
  std::vector<uint8_t> coin(baseline.n_segments);
  const std::vector<double> sum_baseline = baseline.sum(), sum_system = system.sum();
  ScoreSamples differences;
  std::vector<double> swapped(n_stats), first(n_stats), second(n_stats);
  std::vector<double> delta(baseline.rows.size());
  for (size_t i = 0; i < delta.size(); ++i) delta[i] = baseline.rows[i] - system.rows[i];
  for (int trial = 0; trial < settings.trials; ++trial) {
    coins.next(coin);
    std::fill(swapped.begin(), swapped.end(), 0.0);
    for (int64_t segment = 0; segment < baseline.n_segments; ++segment) {
      const double weight = coin[segment];
      const double* row = delta.data() + segment * n_stats;
      for (int i = 0; i < n_stats; ++i) swapped[i] += weight * row[i];
    }
    for (int i = 0; i < n_stats; ++i) {
      first[i] = sum_system[i] + swapped[i];
      second[i] = sum_baseline[i] - swapped[i];
    }
    const std::vector<Score> a = metric.scores(first), b = metric.scores(second);
    differences.resize(a.size());
    for (size_t i = 0; i < a.size(); ++i) {
      differences[i].push_back(std::abs(a[i].score - b[i].score));
    }
  }
  return differences;
}

std::vector<ComparedScore> plain_scores(const Metric& metric, const SegmentStats& stats) {
  std::vector<ComparedScore> compared;
  for (Score& score : metric.scores(stats.sum())) compared.push_back({.score = std::move(score)});
  return compared;
}

// sacreBLEU counts samples beyond the difference, not at it, so that no difference at all would get
// the smallest p there is.
void set_p_value(const Score& baseline, ComparedScore* system, double p) {
  system->p_value = system->score.score == baseline.score ? 1 : p;
}

}  // namespace

std::vector<std::vector<double>> bootstrap_scores(const Metric& metric, const SegmentStats& stats,
                                                  const SignificanceSettings& settings) {
  const SegmentStats* const all[] = {&stats};
  return resample(metric, all, settings)[0];
}

ScoreInterval estimate_interval(std::vector<double> scores) {
  std::sort(scores.begin(), scores.end());
  const size_t outside = scores.size() / 40;
  ScoreInterval interval{.low = scores[outside], .high = scores[scores.size() - outside - 1]};
  for (const double score : scores) interval.mean += score;
  interval.mean /= static_cast<double>(scores.size());
  interval.half_width = 0.5 * (interval.high - interval.low);
  return interval;
}

std::vector<ScoreInterval> bootstrap_intervals(const Metric& metric, const SegmentStats& stats,
                                               const SignificanceSettings& settings) {
  std::vector<ScoreInterval> intervals;
  for (std::vector<double>& scores : bootstrap_scores(metric, stats, settings)) {
    intervals.push_back(estimate_interval(std::move(scores)));
  }
  return intervals;
}

std::vector<std::vector<ComparedScore>> compare_to_baseline(const Metric& metric,
                                                            const SegmentStats& baseline,
                                                            std::span<const SegmentStats> systems,
                                                            PairedTest test,
                                                            const SignificanceSettings& settings) {
  std::vector<const SegmentStats*> all = {&baseline};
  std::vector<std::vector<ComparedScore>> compared = {plain_scores(metric, baseline)};
  for (const SegmentStats& system : systems) {
    if (system.n_segments != baseline.n_segments) {
      throw Error({.what = "a paired test needs the same segments on both sides",
                   .expected = fmt::format("{} segments", baseline.n_segments),
                   .got = fmt::format("{}", system.n_segments)});
    }
    all.push_back(&system);
    compared.push_back(plain_scores(metric, system));
  }
  if (test == PairedTest::kBootstrap) {
    const std::vector<ScoreSamples> samples = resample(metric, all, settings);
    for (size_t s = 0; s < all.size(); ++s) {
      for (size_t i = 0; i < compared[s].size(); ++i) {
        compared[s][i].interval = estimate_interval(samples[s][i]);
        if (s == 0) continue;
        const double difference = std::abs(compared[0][i].score.score - compared[s][i].score.score);
        set_p_value(compared[0][i].score, &compared[s][i],
                    bootstrap_p_value(samples[0][i], samples[s][i], difference));
      }
    }
    return compared;
  }
  check_settings(baseline, settings.trials, "trials");
  for (size_t s = 1; s < all.size(); ++s) {
    const ScoreSamples samples = randomised_differences(metric, baseline, *all[s], settings);
    for (size_t i = 0; i < compared[s].size(); ++i) {
      const double difference = std::abs(compared[0][i].score.score - compared[s][i].score.score);
      set_p_value(compared[0][i].score, &compared[s][i], p_value(samples[i], difference));
    }
  }
  return compared;
}

}  // namespace skipbench
