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

// The model that was asked for last, without adapter: points of a matrix that follow one another
// share it.
struct LatestModel {
  std::string name;
  LoadedModel loaded;
};

struct SweepSetup {
  SweepConfig config;
  // The model, and it with each adapter, by the adapter's folder. Where adapters are used, its
  // matrices have the types that they get there. After release_models no more than `loaded.config`.
  LoadedModel loaded;
  std::map<std::string, LoadedModel> adapted;
  bool has_models = false;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<SweepInputs> inputs;  // one per dataset
  std::vector<std::string> warnings;  // what the sweep can run with but hardly means
  std::unique_ptr<Backend> backend;
  CellContext context;
  std::vector<Cell> cells;

  const LoadedModel& model_of(const Cell& cell) const {
    return cell.adapter.empty() ? loaded : adapted.at(cell.adapter);
  }

  void release_models();
  // Loads them where they are not there. Throws Error where files are gone or have changed.
  void ensure_models(LatestModel& latest);
};

// Opens model, tokenizer and data and makes the cells; nothing is decoded. Throws Error for all
// that `skipbench validate` finds.
SweepSetup prepare_sweep(SweepConfig config);

// Every point of a matrix. Of several points the models are released: a sweep loads those of the
// point at work (SweepSetup::ensure_models).
std::vector<SweepSetup> prepare_sweeps(std::vector<SweepConfig> variants);

}  // namespace skipbench
