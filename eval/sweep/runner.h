// Runs a sweep against its results file: what is done stays done, the rest is measured.
#pragma once

#include <functional>
#include <ostream>
#include <span>
#include <string>

#include "eval/sweep/setup.h"
#include "eval/sweep/shard.h"
#include "eval/telemetry/batch_meter.h"

namespace skipbench {

enum class SweepOutcome { kDone, kSomeFailed, kInterrupted };

struct SweepOptions {
  bool reuse_quality = false;   // see take_over_quality
  bool fresh = false;           // forget what the results file holds, once the run can begin
  Shard shard;                  // whose cells are run; the others are listed as pending
  std::string command;          // as typed, for the store
  std::ostream* log = nullptr;  // progress; null: none
  bool log_is_terminal = false;
  std::function<void()> after_batch;  // test hook
  TelemetrySources telemetry;         // tests have their own
};

// `variants`: the points of a matrix, one run together; of several only the point at work has its
// models in memory. Throws Error for wrong input and StoreError
// when the results file cannot be used; a cell that fails is recorded and the sweep goes on.
SweepOutcome run_sweep(std::span<SweepSetup> variants, const SweepOptions& options);
SweepOutcome run_sweep(SweepSetup setup, const SweepOptions& options);

}  // namespace skipbench
