#include "eval/regress/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/base/error.h"
#include "eval/bench/schema_version.h"
#include "eval/regress/conditions.h"
#include "eval/regress/rank_test.h"
#include "eval/telemetry/device_monitor.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

// What is not known is null or "", or, in rows of older versions, not there.
bool is_known(const Json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || found->is_null()) return false;
  return !found->is_string() || !found->get_ref<const std::string&>().empty();
}

std::string text_or_empty(const Json& row, const char* key) {
  return is_known(row, key) ? row.at(key).get<std::string>() : "";
}

// Lists and rows one after the other, as several outputs in one file are.
std::vector<Json> bench_rows(const std::string& text, const std::string& where) {
  std::vector<Json> rows;
  std::istringstream in(text);
  while ((in >> std::ws).peek() != EOF) {
    const auto begin = text.begin() + static_cast<std::ptrdiff_t>(in.tellg());
    const auto refuse = [&] {
      return Error({.what = "not a row of `skipbench bench -o json`",
                    .where = fmt::format("{}:{}", where, 1 + std::count(text.begin(), begin, '\n')),
                    .expected = "a JSON object, or a list of them"});
    };
    Json value;
    try {
      in >> value;
    } catch (const Json::exception&) {
      throw refuse();
    }
    if (value.is_object()) {
      rows.push_back(std::move(value));
      continue;
    }
    if (!value.is_array()) throw refuse();
    for (Json& row : value) {
      if (!row.is_object()) throw refuse();
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

// What was measured. A sweep's results file knows neither type nor size of the model, but its path.
std::string series_name(const Json& row) {
  std::string name;
  const auto add = [&](const char* key) {
    const Json& value = row.at(key);
    name += fmt::format("{}{}={}", name.empty() ? "" : " ", key,
                        value.is_string() ? value.get<std::string>() : value.dump());
  };
  add(is_known(row, "model_type") ? "model_type" : "model_filename");
  if (is_known(row, "model_size")) add("model_size");
  for (const char* key :
       {"type_k", "n_prompt", "n_gen", "n_depth", "batch", "strategy", "target"}) {
    add(key);
  }
  for (const char* key : {"dataset", "variant", "beam_search"}) {
    if (is_known(row, key)) add(key);
  }
  return name;
}

std::string machine_name(const Json& row) {
  const std::string gpu = text_or_empty(row, "gpu_info");
  return fmt::format("{}, {}{}{}, {}, {} threads", row.at("backends").get<std::string>(), gpu,
                     gpu.empty() ? "" : ", ", row.at("cpu_info").get<std::string>(),
                     text_or_empty(row, "instruction_set"), row.at("n_threads").get<int>());
}

BenchRun bench_run(const Json& row, const std::string& where) {
  try {
    const int version = row.value("schema_version", 0);
    if (version > kBenchSchemaVersion) {
      throw Error({.what = "a row of a newer version of skipbench",
                   .where = where,
                   .expected = fmt::format("schema_version of at most {}", kBenchSchemaVersion),
                   .got = std::to_string(version)});
    }
    BenchRun run;
    run.series = series_name(row);
    run.label = text_or_empty(row, "label");
    run.commit = row.at("build_commit").get<std::string>();
    run.machine = machine_name(row);
    run.slowdowns = spoiling_clock_reasons(text_or_empty(row, "clock_reasons"));
    if (is_known(row, "sm_clock_mhz")) run.sm_clock_mhz = row.at("sm_clock_mhz").get<double>();
    if (is_known(row, "memory_clock_mhz")) {
      run.memory_clock_mhz = row.at("memory_clock_mhz").get<double>();
    }
    run.driver = text_or_empty(row, "driver_version");
    run.cuda_runtime = text_or_empty(row, "cuda_runtime");
    run.cublaslt = text_or_empty(row, "cublaslt");
    run.gpu_uuid = text_or_empty(row, "gpu_uuid");
    if (is_known(row, "foreign_processes")) {
      run.foreign_processes = row.at("foreign_processes").get<int64_t>();
    }
    run.time = text_or_empty(row, "test_time");
    run.tokens_per_second = median(row.at("samples_ts").get<std::vector<double>>());
    return run;
  } catch (const Json::exception& error) {
    const std::string message = error.what();  // "[json.exception.out_of_range.403] key ..."
    throw Error({.what = "not a row of `skipbench bench -o json`",
                 .where = where,
                 .got = message.substr(message.find("] ") + 2)});
  }
}

bool is_of(const BenchRun& run, const std::string& name) {
  return run.label == name || (name.size() >= 7 && run.commit.starts_with(name));
}

// Empty, or how the machine's speed changed while the baseline was measured.
std::string unsteady_speed(std::span<const double> baseline, const RegressSettings& settings) {
  const auto first = baseline.first(baseline.size() / 2);
  const auto second = baseline.subspan(baseline.size() / 2);
  if (first.empty()) return "";
  const RankTest test = mann_whitney(first, second);
  const double change = median(second) / median(first) - 1;
  if (2 * std::min(test.p_less, test.p_greater) >= settings.alpha ||
      std::abs(change) < settings.min_effect) {
    return "";
  }
  return fmt::format(
      "the machine changed its speed by {:+.1f} % while the baseline was measured (throttled "
      "clocks, other load?)",
      100 * change);
}

struct SeriesSide {
  std::vector<BenchRun> runs;
  std::vector<double> speeds;
};

SeriesSide side_of(std::span<const BenchRun> runs, const std::string& series,
                   const std::string& name) {
  SeriesSide side;
  for (const BenchRun& run : runs) {
    if (run.series != series || !is_of(run, name)) continue;
    side.runs.push_back(run);
    side.speeds.push_back(run.tokens_per_second);
  }
  return side;
}

SeriesVerdict judge_series(std::span<const BenchRun> runs, const std::string& series,
                           const std::string& baseline, const std::string& candidate,
                           const RegressSettings& settings) {
  const SeriesSide before = side_of(runs, series, baseline);
  const SeriesSide after = side_of(runs, series, candidate);
  SeriesVerdict result{.series = series,
                       .comparison = compare_runs(before.speeds, after.speeds, settings),
                       .notes = condition_notes(before.runs, after.runs)};
  std::string why = unlike_conditions(before.runs, after.runs, settings.min_effect);
  result.is_refused = !why.empty();
  if (!result.is_refused) why = unsteady_speed(before.speeds, settings);
  if (!why.empty()) {
    result.comparison.verdict = Verdict::kCannotJudge;
    result.comparison.why = why;
  }
  return result;
}

std::vector<std::string> series_of(std::span<const BenchRun> runs) {
  std::vector<std::string> names;
  for (const BenchRun& run : runs) {
    if (std::find(names.begin(), names.end(), run.series) == names.end()) {
      names.push_back(run.series);
    }
  }
  return names;
}

void check_name(std::span<const BenchRun> runs, const std::string& name, const char* flag) {
  std::vector<std::string> known;
  for (const BenchRun& run : runs) {
    if (is_of(run, name)) return;
    for (const std::string& one : {run.label, run.commit}) {
      if (!one.empty() && std::find(known.begin(), known.end(), one) == known.end()) {
        known.push_back(one);
      }
    }
  }
  throw unknown_name("label or commit", name, known, flag);
}

constexpr char kBaseline[] = "baseline", kCandidate[] = "candidate";

}  // namespace

std::vector<BenchRun> read_bench_runs(const std::string& text, const std::string& where) {
  std::vector<BenchRun> runs;
  for (const Json& row : bench_rows(text, where)) runs.push_back(bench_run(row, where));
  if (runs.empty()) throw Error({.what = "no run in it", .where = where});
  return runs;
}

std::string history_lines(const std::string& bench_json, const std::string& label,
                          const std::string& where) {
  std::string lines;
  for (Json& row : bench_rows(bench_json, where)) {
    bench_run(row, where);  // refuses what the gate could not read again
    row["label"] = label;
    lines += row.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return lines;
}

GateResult judge_runs(std::span<const BenchRun> runs, const std::string& baseline,
                      const std::string& candidate, const RegressSettings& settings) {
  check_name(runs, baseline, "--baseline");
  check_name(runs, candidate, "--candidate");
  std::vector<BenchRun> ours;
  for (const BenchRun& run : runs) {
    if (is_of(run, baseline) || is_of(run, candidate)) ours.push_back(run);
  }
  const std::vector<std::string> names = series_of(ours);
  RegressSettings shared = settings;
  shared.alpha /= static_cast<double>(names.size());
  GateResult result{.verdict = Verdict::kNoRegression};
  for (const std::string& name : names) {
    const SeriesVerdict one = judge_series(ours, name, baseline, candidate, shared);
    result.runs_needed = std::max(result.runs_needed, one.comparison.runs_needed);
    if (one.comparison.verdict == Verdict::kRegression) {
      result.verdict = Verdict::kRegression;
    } else if (one.comparison.verdict == Verdict::kCannotJudge &&
               result.verdict == Verdict::kNoRegression) {
      result.verdict = Verdict::kCannotJudge;
    }
    result.series.push_back(one);
  }
  return result;
}

GateResult compare_in_turns(const std::function<std::vector<BenchRun>(bool is_candidate)>& measure,
                            const AbSettings& settings,
                            const std::function<void(const std::string&)>& say) {
  const auto add_pair = [&](std::vector<BenchRun>& runs, int pair) {
    // Whoever goes second may find the machine warmer: they change places from pair to pair.
    for (const bool is_candidate : {pair % 2 == 1, pair % 2 == 0}) {
      for (BenchRun& run : measure(is_candidate)) {
        run.label = is_candidate ? kCandidate : kBaseline;
        run.commit.clear();
        runs.push_back(std::move(run));
      }
    }
  };
  const auto judge = [&](const std::vector<BenchRun>& runs) {
    return judge_runs(runs, kBaseline, kCandidate, settings.regress);
  };
  std::vector<BenchRun> runs;
  int pairs = 0;
  while (pairs < settings.pilot_runs) add_pair(runs, pairs++);
  GateResult result = judge(runs);
  say(fmt::format(
      "after {} runs a side: the measured noise asks for {} to find a slowdown of {:g} %", pairs,
      result.runs_needed, 100 * settings.regress.detect));
  // Noise that is itself known from few runs is often more than measured; without a margin for
  // that, rounds that happened to look quiet would end too early and miss slowdowns.
  const auto wanted = [&] {
    const double margin = std::pow(1 + 1 / std::sqrt(static_cast<double>(pairs)), 2);
    return std::min(static_cast<int>(std::ceil(result.runs_needed * margin)), settings.max_runs);
  };
  const auto is_refused = [&] {
    return std::ranges::any_of(result.series, &SeriesVerdict::is_refused);
  };
  for (int target = wanted(); pairs < target && !is_refused(); target = wanted()) {
    while (pairs < target) add_pair(runs, pairs++);
    result = judge(runs);
    say(fmt::format("after {} runs a side: {} are asked for", pairs, result.runs_needed));
  }
  if (is_refused()) say("more runs like these could not be judged either: measuring stops");
  if (result.verdict != Verdict::kRegression) return result;
  say(fmt::format("a slowdown; measuring {} runs a side again to confirm it", pairs));
  std::vector<BenchRun> again;
  for (int pair = 0; pair < pairs; ++pair) add_pair(again, pair);
  GateResult confirmed = judge(again);
  if (confirmed.verdict == Verdict::kRegression) return confirmed;
  // Not seen twice: what both rounds together say.
  runs.insert(runs.end(), again.begin(), again.end());
  return judge(runs);
}

}  // namespace skipbench
