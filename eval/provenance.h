// Where a number comes from: the program, its build, the machine and its state.
#pragma once

#include <string>

#include "engine/backend.h"

namespace skipbench {

// What may change the texts that are decoded.
struct Build {
  std::string commit;
  std::string dirty_hash;  // of uncommitted source changes; empty: none
  std::string compiler;
  std::string flags;
  std::string instruction_set;
  std::string device_name;
};

struct Provenance {
  std::string commit;
  std::string dirty_hash;  // of uncommitted source changes; empty: none
  std::string compiler;
  std::string flags;
  std::string device;       // "cpu"
  std::string device_name;  // the CPU's or the card's model name
  std::string cpu;          // model name
  int threads = 0;
  std::string instruction_set;
  double load_average = 0;  // of the last minute, when the run began
  // The card's driver, "550.54.15"; empty: no card, not known, or nobody asked (driver_version).
  std::string driver;
};

Build build_of(const Provenance& provenance);

Provenance collect_provenance(const Backend& backend);

}  // namespace skipbench
