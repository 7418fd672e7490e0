// Metrics that other programs compute (eval/metrics/external.h), of the outputs that a results file
// holds: nothing is decoded. A configuration cannot name such a program, since whoever runs a
// configuration of somebody else would run it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "eval/metrics/external.h"
#include "eval/store/store.h"

namespace skipbench {

struct RescoreRequest {
  ExternalRequest program;
  std::optional<int64_t> run;  // of which the outputs are taken; none: the latest
  bool with_sources = true;    // from the files that the run's configuration names
  bool again = false;          // also the outputs that this command has scored before
};

struct RescoreSummary {
  std::string name;     // of the metric
  int64_t scored = 0;   // cells that the program was asked about, in one start
  int64_t kept = 0;     // cells that keep the scores of an earlier start
  int64_t outputs = 0;  // that the program scored
};

// Scores all outputs of the run's finished quality cells and lists the metric in the run's table.
// All or nothing is written. Throws Error for a run without finished outputs, for source files that
// are not those of the outputs, for whatever run_external_metric refuses, and where the program
// calls its metric something else than before.
RescoreSummary rescore(ResultStore& store, const RescoreRequest& request);

}  // namespace skipbench
