// The points of a sweep and what identifies them.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/provenance.h"
#include "eval/store/store.h"
#include "eval/sweep/config.h"
#include "eval/sweep/inputs.h"
#include "strategies/layer_scores.h"

namespace skipbench {

struct Cell {
  CellKey key;
  size_t dataset = 0;   // index into the configuration
  size_t strategy = 0;  // index into the configuration
  std::string adapter;  // folder; empty: the model itself
  StrategySpec spec;    // a calibrated parameter is put in when the cell is run
  std::optional<CalibratedParam> calibrated;
  bool is_full = false;                        // the reference of speedups
  std::string status = cell_status::kPending;  // or invalid, unsupported
  std::string message;
  std::string resolved;  // canonical JSON
  std::string identity;  // SHA-256 of `resolved`
  std::string calibration_identity;
};

// What identities depend on besides the configuration.
struct CellContext {
  std::string model_hash;
  std::map<std::string, std::string> adapted_hashes;  // of the model with an adapter, by its folder
  std::map<std::string, std::string> weight_types;    // likewise; "": of the model itself
  int num_layers = 0;
  Provenance provenance;  // part of the identity of timings
  // Part of the identity of quality and calibrations; none: those of files from before it was.
  std::optional<Build> quality_build;

  const std::string& hash_of(const Cell& cell) const;
};

// All cells in the order of the table: dataset, strategy, target, then quality and one timing per
// batch size. Targets outside [1, max(1, N/2)] make one cell with status `invalid`; beams > 1 makes
// cells with status `unsupported` of strategies that have no beam search. Throws Error for
// parameters that the strategy refuses.
std::vector<Cell> make_cells(const SweepConfig& config, std::span<const SweepInputs> inputs,
                             const CellContext& context);

// "unified 2x, de-en, batch 8": for progress and messages.
std::string cell_name(const CellKey& key);

// Identity of a score of layers of the model without adapter, measured on the calibration data.
// Greedy removal depends on the ends that it keeps as well.
std::string layer_scores_identity(const SweepConfig& config, const Cell& cell,
                                  const SweepInputs& inputs, const CellContext& context,
                                  const Pruning& pruning);

// Identity of the outputs of the cell's model on the calibration prompts, all layers run.
std::string calibration_data_identity(const SweepConfig& config, const Cell& cell,
                                      const SweepInputs& inputs, const CellContext& context);

}  // namespace skipbench
