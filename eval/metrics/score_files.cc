#include "eval/metrics/score_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/text_file.h"
#include "eval/metrics/text_fit.h"

namespace skipbench {
namespace {

constexpr const char* kStandardInput = "-";

// A CR stays in its line, as in sacreBLEU's reading.
std::vector<std::string> read_lines(const std::string& path) {
  return read_text_lines(path == kStandardInput ? "/dev/stdin" : path, CarriageReturn::kKeep);
}

// The references of every segment, from one file per reference.
std::vector<std::vector<std::string>> read_references(const ScoreFilesRequest& request,
                                                      size_t n_segments) {
  if (request.references.empty())
    throw Error({.what = "no reference file given", .where = "--reference"});
  std::vector<std::vector<std::string>> references(n_segments);
  for (const std::string& path : request.references) {
    std::vector<std::string> lines = read_lines(path);
    if (lines.size() != n_segments) {
      throw Error({.what = "reference and hypothesis differ in their number of lines",
                   .where = path,
                   .expected = fmt::format("{} lines as in {}", n_segments, request.hypotheses[0]),
                   .got = fmt::format("{} lines", lines.size())});
    }
    for (size_t i = 0; i < n_segments; ++i) references[i].push_back(std::move(lines[i]));
  }
  return references;
}

// The outputs of every system, all of the same length.
std::vector<std::vector<std::string>> read_hypotheses(const ScoreFilesRequest& request) {
  if (request.hypotheses.empty())
    throw Error({.what = "no file to score given", .where = "--hypothesis"});
  std::vector<std::vector<std::string>> systems;
  for (const std::string& path : request.hypotheses) {
    systems.push_back(read_lines(path));
    if (systems.back().size() == systems[0].size()) continue;
    throw Error(
        {.what = "the files to score differ in their number of lines",
         .where = path,
         .expected = fmt::format("{} lines as in {}", systems[0].size(), request.hypotheses[0]),
         .got = fmt::format("{} lines", systems.back().size())});
  }
  return systems;
}

// What the files to score and their references are.
struct Profiles {
  TextProfile references;
  std::vector<TextProfile> systems;
};

Profiles profiles_of(std::span<const std::vector<std::string>> systems,
                     std::span<const std::vector<std::string>> references) {
  Profiles profiles{.references = profile_texts(references)};
  for (size_t i = 0; i < systems.size(); ++i) {
    profiles.systems.push_back(profile_texts(systems.subspan(i, 1)));
  }
  return profiles;
}

void check_texts(const ScoreFilesRequest& request, const MetricRequest& wanted,
                 const Metric& metric, const Profiles& profiles) {
  const FitRequest fit{.metric = wanted.name,
                       .language = request.language,
                       .forced = request.force || wanted.options.contains("tokenize"),
                       .where = "--tokenize",
                       .hint = "--force, or the tokenizer written out, scores it all the same"};
  std::vector<std::string> warnings = {check_fit(metric, fit, profiles.references)};
  for (size_t i = 0; i < profiles.systems.size(); ++i) {
    warnings.push_back(check_segmented_alike(metric, fit, profiles.references, &profiles.systems[i],
                                             request.hypotheses[i]));
  }
  for (const std::string& warning : warnings) {
    if (!warning.empty() && request.warn) request.warn(warning);
  }
}

void check_combination(const ScoreFilesRequest& request) {
  const auto from_input = std::ranges::count(request.hypotheses, kStandardInput) +
                          std::ranges::count(request.references, kStandardInput) +
                          (request.source == kStandardInput ? 1 : 0);
  if (from_input > 1) {
    throw Error({.what = "standard input can be read only once",
                 .where = "--hypothesis, --reference, --source",
                 .expected = "one - among the files",
                 .got = fmt::format("{} of them", from_input)});
  }
  if (request.paired && request.hypotheses.size() < 2) {
    throw Error({.what = "a paired test compares systems",
                 .where = "--hypothesis",
                 .expected = "the baseline and at least one other file",
                 .got = fmt::format("{} file", request.hypotheses.size())});
  }
  if (request.sentence_level &&
      (request.hypotheses.size() > 1 || request.paired || request.confidence)) {
    throw Error({.what = "sentence scores are for one file, without intervals or tests",
                 .where = "--sentence-level"});
  }
}

std::unique_ptr<Metric> make_requested(const MetricRequest& wanted, bool sentence_level) {
  MetricOptions options = wanted.options;
  // As sacreBLEU: a single sentence often has no match of the longest n-grams.
  if (sentence_level && wanted.name == "bleu") options.try_emplace("effective_order", "true");
  return make_metric(wanted.name, options, "--metric " + wanted.name);
}

// The signature says how the intervals and p-values were drawn, after the number of references.
Signature signature_of(const Metric& metric, int n_references, const ScoreFilesRequest& request) {
  Signature signature = full_signature(metric, n_references);
  Signature drawn;
  const SignificanceSettings& settings = request.significance;
  const bool bootstrap = request.confidence || request.paired == PairedTest::kBootstrap;
  if (bootstrap) drawn.emplace_back("bs", std::to_string(settings.resamples));
  if (request.paired == PairedTest::kRandomisation) {
    drawn.emplace_back("ar", std::to_string(settings.trials));
  }
  if (!drawn.empty()) drawn.emplace_back("seed", std::to_string(settings.seed));
  signature.insert(signature.begin() + 1, drawn.begin(), drawn.end());
  return signature;
}

MetricReport report_of(const Metric& metric, std::span<const SegmentStats> systems,
                       const ScoreFilesRequest& request) {
  MetricReport report{.signature = signature_of(metric, systems[0].n_references, request)};
  if (request.paired) {
    report.systems = compare_to_baseline(metric, systems[0], systems.subspan(1), *request.paired,
                                         request.significance);
  } else {
    for (const SegmentStats& stats : systems) {
      auto& scores = report.systems.emplace_back();
      for (Score& score : metric.scores(stats.sum())) scores.push_back({.score = std::move(score)});
    }
  }
  if (!request.confidence || request.paired == PairedTest::kBootstrap) return report;
  for (size_t i = 0; i < systems.size(); ++i) {
    const auto intervals = bootstrap_intervals(metric, systems[i], request.significance);
    for (size_t s = 0; s < intervals.size(); ++s) report.systems[i][s].interval = intervals[s];
  }
  return report;
}

// A metric and its statistics of every system.
struct ScoredMetric {
  std::unique_ptr<Metric> metric;
  std::vector<SegmentStats> stats;
};

std::string sentence_report(std::span<const ScoredMetric> scored,
                            const ScoreFilesRequest& request) {
  std::vector<std::string> names;
  std::vector<std::vector<double>> scores;
  for (const ScoredMetric& made : scored) {
    const SegmentStats& stats = made.stats[0];
    const size_t first = names.size();
    for (int64_t i = 0; i < stats.n_segments; ++i) {
      const std::vector<Score> row = made.metric->scores(stats.row(i));
      for (size_t s = 0; s < row.size(); ++s) {
        if (i == 0) {
          names.push_back(row[s].name);
          scores.emplace_back();
        }
        scores[first + s].push_back(row[s].score);
      }
    }
  }
  return format_sentences(names, scores, request.format, request.digits);
}

// The source lines that external metrics get, if any.
std::vector<std::string> read_sources(const ScoreFilesRequest& request, size_t n_segments) {
  if (request.source.empty()) return {};
  std::vector<std::string> lines = read_lines(request.source);
  if (lines.size() == n_segments) return lines;
  throw Error({.what = "source and hypothesis differ in their number of lines",
               .where = request.source,
               .expected = fmt::format("{} lines as in {}", n_segments, request.hypotheses[0]),
               .got = fmt::format("{} lines", lines.size())});
}

// "/runs/full.txt" -> "full.txt"
std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::string score_files(const ScoreFilesRequest& request) {
  check_combination(request);
  std::vector<std::unique_ptr<Metric>> metrics;
  for (const MetricRequest& wanted : request.metrics) {
    metrics.push_back(make_requested(wanted, request.sentence_level));
  }
  const auto systems = read_hypotheses(request);
  const auto references = read_references(request, systems[0].size());
  if (systems[0].empty()) {
    throw Error({.what = "the file has no lines to score", .where = request.hypotheses[0]});
  }
  const Profiles profiles = profiles_of(systems, references);
  for (size_t i = 0; i < metrics.size(); ++i) {
    check_texts(request, request.metrics[i], *metrics[i], profiles);
  }

  std::vector<ScoredMetric> scored;
  for (auto& metric : metrics) {
    ScoredMetric& made = scored.emplace_back();
    for (const auto& system : systems) {
      made.stats.push_back(segment_statistics(*metric, system, references));
    }
    made.metric = std::move(metric);
  }
  const auto sources = read_sources(request, systems[0].size());
  for (const ExternalRequest& external : request.external) {
    ScoredMetric& made = scored.emplace_back();
    for (const auto& system : systems) {
      ExternalScores scores = run_external_metric(external, sources, system, references);
      made.metric = std::move(scores.metric);
      made.stats.push_back(std::move(scores.stats));
    }
  }
  std::vector<MetricReport> reports;
  for (const ScoredMetric& made : scored) {
    reports.push_back(report_of(*made.metric, made.stats, request));
  }
  if (request.sentence_level) {
    return sentence_report(scored, request);
  }
  if (systems.size() == 1) return format_system(reports, request.format, request.digits);
  std::vector<std::string> names;
  for (const std::string& path : request.hypotheses) names.push_back(file_name(path));
  return format_systems(names, reports, request.format, request.digits);
}

}  // namespace skipbench
