// --significance and --correction of the commands that test differences.
#pragma once

#include <string>
#include <vector>

#include "engine/base/error.h"
#include "eval/metrics/significance.h"

namespace skipbench {

// Throws Error for an unknown name.
inline PairedTest paired_test(const std::string& name) {
  if (name == "paired-bs") return PairedTest::kBootstrap;
  if (name == "paired-ar") return PairedTest::kRandomisation;
  const std::vector<std::string> known = {"paired-bs", "paired-ar"};
  throw unknown_name("test", name, known, "--significance");
}

// Whether `name` asks for corrected p-values. Throws Error for an unknown correction.
inline bool asks_for_holm(const std::string& name) {
  if (name.empty() || name == "none") return false;
  if (name == "holm") return true;
  const std::vector<std::string> known = {"holm", "none"};
  throw unknown_name("correction", name, known, "--correction");
}

}  // namespace skipbench
