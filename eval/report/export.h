// Raw outputs of a results file as JSON lines, so that other tools can recompute its table.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "eval/store/store.h"

namespace skipbench {

// One line per output of the cells that `run` (default: the latest) asked for: the scored outputs,
// and with `timing` the timed ones after them. Keys: cell, kind (quality, timing), strategy,
// target, dataset, batch, index, prompt_tokens, tokens, text, reference (a text, or a list where
// there are several), layers_per_token, prefill_us, decode_us; for timing also group and
// repetition. Times are the output's share: its batch's time over the batch's rows, so that sums
// over lines are wall times.
void export_outputs(ResultStore& store, bool timing,
                    const std::function<void(const std::string& line)>& write,
                    std::optional<int64_t> run = std::nullopt);

// One line per quality cell of the run and prefix with which metrics of responses were
// measured. Keys: cell, strategy, target, dataset, variant (of a run with a matrix), prefix, steps
// (as in the JSON of `skipbench probe`: means, entry 0 the prefill's). Cells whose steps were not
// told apart (an older version's) have none. Throws StoreError where no cell has any,
// as export_outputs Error for a run that the file does not have.
void export_drift(ResultStore& store, const std::function<void(const std::string& line)>& write,
                  std::optional<int64_t> run = std::nullopt);

// What `skipbench probe --results` kept, one line per probing, as it was printed; in front of it
// `stored`: probed (UTC), command, commit, device_name.
void export_probes(ResultStore& store, const std::function<void(const std::string& line)>& write);

}  // namespace skipbench
