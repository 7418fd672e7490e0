// Everything that a sweep needs before its first token: loaded, checked, and its cells listed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/weights/weight.h"
#include "eval/sweep/cells.h"
#include "eval/sweep/config.h"
#include "eval/sweep/inputs.h"

namespace skipbench {

struct SweepSetup {
  SweepConfig config;
  LoadedModel loaded;  // where adapters are used, matrices have the types that they get there
  std::map<std::string, LoadedModel> adapted;  // by the adapter's folder
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<SweepInputs> inputs;  // one per dataset
  std::unique_ptr<Backend> backend;
  CellContext context;
  std::vector<Cell> cells;

  const LoadedModel& model_of(const Cell& cell) const {
    return cell.adapter.empty() ? loaded : adapted.at(cell.adapter);
  }
};

// Opens model, tokenizer and data and makes the cells; nothing is decoded. Throws Error for all
// that `skipbench validate` finds.
SweepSetup prepare_sweep(SweepConfig config);

// Every point of a matrix. A model that several points have is loaded once.
std::vector<SweepSetup> prepare_sweeps(std::vector<SweepConfig> variants);

}  // namespace skipbench
