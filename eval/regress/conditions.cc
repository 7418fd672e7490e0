#include "eval/regress/conditions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <vector>

namespace skipbench {
namespace {

struct SideRun {
  const BenchRun* run = nullptr;
  std::string name;  // "run 3 of 12 of the baseline (2026-12-01T10:00:00Z)"
};

std::vector<SideRun> named_runs(std::span<const BenchRun> baseline,
                                std::span<const BenchRun> candidate) {
  std::vector<SideRun> all;
  const auto add = [&](std::span<const BenchRun> side, const char* name) {
    for (size_t i = 0; i < side.size(); ++i) {
      all.push_back({&side[i], fmt::format("run {} of {} of the {}{}", i + 1, side.size(), name,
                                           side[i].time.empty() ? "" : " (" + side[i].time + ")")});
    }
  };
  add(baseline, "baseline");
  add(candidate, "candidate");
  return all;
}

// ", as were 3 of 24 runs", where it is not the first alone.
std::string shared_by(const std::vector<SideRun>& runs,
                      const std::function<bool(const BenchRun&)>& is_such) {
  const auto count =
      std::ranges::count_if(runs, [&](const SideRun& one) { return is_such(*one.run); });
  return count < 2 ? "" : fmt::format(", as were {} of {} runs", count, runs.size());
}

std::string other_machine(const std::vector<SideRun>& runs) {
  const std::string& first = runs.front().run->machine;
  for (const SideRun& one : runs) {
    if (one.run->machine == first) continue;
    return fmt::format("measured on different machines: {}; {}", first, one.run->machine);
  }
  return "";
}

std::string slowed_card(const std::vector<SideRun>& runs) {
  const auto is_slowed = [](const BenchRun& run) { return !run.slowdowns.empty(); };
  for (const SideRun& one : runs) {
    if (!is_slowed(*one.run)) continue;
    return fmt::format(
        "measured on a slowed card: {} was made while the driver lowered the clocks for {}{}; "
        "expected is no such reason: let the card cool or find what slows it, then measure both "
        "sides again",
        one.name, fmt::join(one.run->slowdowns, "; "), shared_by(runs, is_slowed));
  }
  return "";
}

struct CardClock {
  const char* name;
  const char* option;  // of nvidia-smi, which fixes it
  std::optional<double> BenchRun::*mhz;
};

// Decoding reads memory, prompts compute.
constexpr CardClock kClocks[] = {
    {"an SM clock", "--lock-gpu-clocks", &BenchRun::sm_clock_mhz},
    {"a memory clock", "--lock-memory-clocks", &BenchRun::memory_clock_mhz},
};

std::string other_clock(const std::vector<SideRun>& runs, std::span<const BenchRun> baseline,
                        double tolerance, const CardClock& clock) {
  std::vector<double> clocks;
  for (const BenchRun& run : baseline) {
    if (run.*clock.mhz) clocks.push_back(*(run.*clock.mhz));
  }
  if (clocks.empty()) return "";
  const double expected = median(clocks);
  const auto is_off = [&](const BenchRun& run) {
    return run.*clock.mhz && std::abs(*(run.*clock.mhz) - expected) > tolerance * expected;
  };
  for (const SideRun& one : runs) {
    if (!is_off(*one.run)) continue;
    return fmt::format(
        "measured at different clocks: {} was made at {} of {:.0f} MHz{}; expected is within {:g} "
        "% of {:.0f} MHz, the baseline's median: fix the card's clocks (nvidia-smi {}), then "
        "measure both sides again",
        one.name, clock.name, *(one.run->*clock.mhz), shared_by(runs, is_off), 100 * tolerance,
        expected, clock.option);
  }
  return "";
}

// Empty, or that the sides are known to differ in `field`, which is called `name`.
std::string differing_note(std::span<const BenchRun> baseline, std::span<const BenchRun> candidate,
                           std::string BenchRun::*field, const char* name) {
  const auto known = [&](std::span<const BenchRun> runs) {
    std::set<std::string> values;
    for (const BenchRun& run : runs) {
      if (!(run.*field).empty()) values.insert(run.*field);
    }
    return values;
  };
  const auto before = known(baseline), after = known(candidate);
  if (before.empty() || after.empty() || before == after) return "";
  return fmt::format(
      "the {} differs: {} at the baseline, {} at the candidate; a change of speed may "
      "come of that",
      name, fmt::join(before, " and "), fmt::join(after, " and "));
}

}  // namespace

std::string unlike_conditions(std::span<const BenchRun> baseline,
                              std::span<const BenchRun> candidate, double min_effect) {
  const std::vector<SideRun> runs = named_runs(baseline, candidate);
  if (runs.empty()) return "";
  if (std::string why = other_machine(runs); !why.empty()) return why;
  if (std::string why = slowed_card(runs); !why.empty()) return why;
  for (const CardClock& clock : kClocks) {
    std::string why = other_clock(runs, baseline, std::min(kClockTolerance, min_effect), clock);
    if (!why.empty()) return why;
  }
  return "";
}

std::vector<std::string> condition_notes(std::span<const BenchRun> baseline,
                                         std::span<const BenchRun> candidate) {
  std::vector<std::string> notes = {
      differing_note(baseline, candidate, &BenchRun::driver, "card's driver"),
      differing_note(baseline, candidate, &BenchRun::gpu_uuid, "card's UUID"),
      differing_note(baseline, candidate, &BenchRun::cuda_runtime, "version of CUDA's runtime"),
      differing_note(baseline, candidate, &BenchRun::cublaslt, "version of cuBLASLt")};
  int64_t shared = 0;
  for (const std::span<const BenchRun> side : {baseline, candidate}) {
    shared += std::ranges::count_if(
        side, [](const BenchRun& run) { return run.foreign_processes.value_or(0) > 0; });
  }
  if (shared > 0) {
    notes.push_back(fmt::format(
        "other processes computed on the card during {} of {} runs: their work may be in the times",
        shared, baseline.size() + candidate.size()));
  }
  std::erase(notes, "");
  return notes;
}

}  // namespace skipbench
