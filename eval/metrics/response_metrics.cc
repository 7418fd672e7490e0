#include "eval/metrics/response_metrics.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

namespace skipbench {
namespace {

constexpr ResponseMetricEntry kMetrics[] = {
    {"perplexity", "exp of the mean negative log-probability of a reference's tokens"},
    {"kl", "mean KL(full || strategy) over a reference's tokens, nats", /*against_full=*/true},
    {"top1", "percent of a reference's tokens at which the most probable candidate is full's",
     /*against_full=*/true},
};

enum Stat { kTokens, kNll, kKl, kAgreeing, kNumStats };

// What stands in a signature has neither of its separators.
std::string shown(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte > 0x20 && byte != 0x7f && c != '|' && c != ':' && c != '%' && c != '`';
    constexpr char kHex[] = "0123456789abcdef";
    if (plain) {
      safe.push_back(c);
    } else {
      safe += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return safe.empty() ? "no" : safe;
}

class ResponseMetric final : public Metric {
 public:
  ResponseMetric(const ResponseMetricEntry& entry, std::string prefix)
      : entry_(entry), prefix_(std::move(prefix)) {}

  int n_stats() const override { return kNumStats; }
  bool higher_is_better() const override { return entry_.name == "top1"; }

  void segment_stats(std::string_view, std::span<const std::string>,
                     std::span<double>) const override {
    assert(!"statistics of responses come from a run of the model");
  }

  std::vector<Score> scores(std::span<const double> sums) const override {
    const double tokens = std::max(sums[kTokens], 1.0);
    if (entry_.name == "perplexity") {
      return {{.name = "perplexity", .score = std::exp(sums[kNll] / tokens)}};
    }
    if (entry_.name == "kl") return {{.name = "KL", .score = sums[kKl] / tokens}};
    return {{.name = "top-1", .score = 100 * sums[kAgreeing] / tokens}};
  }

  Signature settings() const override {
    return {{"text", "ref1"}, {"prefix", shown(prefix_)}, {"eot", "no"}};
  }

 private:
  const ResponseMetricEntry& entry_;
  std::string prefix_;
};

}  // namespace

std::span<const ResponseMetricEntry> response_metric_table() { return kMetrics; }

const ResponseMetricEntry* find_response_metric(std::string_view name) {
  for (const ResponseMetricEntry& entry : kMetrics) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

std::unique_ptr<Metric> make_response_metric(const ResponseMetricEntry& entry,
                                             const MetricOptions& options,
                                             const std::string& where) {
  MetricOptionReader reader(options, where);
  std::string prefix = reader.text("prefix", "");
  reader.finish();
  return std::make_unique<ResponseMetric>(entry, std::move(prefix));
}

std::string response_prefix(const MetricOptions& options) {
  const auto found = options.find("prefix");
  return found == options.end() ? "" : found->second;
}

SegmentStats response_statistics(std::span<const ResponseScore> responses) {
  SegmentStats stats{.n_segments = std::ssize(responses), .n_stats = kNumStats, .n_references = 1};
  for (const ResponseScore& response : responses) {
    const std::array<double, kNumStats> row = {static_cast<double>(response.tokens), response.nll,
                                               response.kl, static_cast<double>(response.agreeing)};
    stats.rows.insert(stats.rows.end(), row.begin(), row.end());
  }
  return stats;
}

}  // namespace skipbench
