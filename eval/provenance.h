// Where a number comes from: the program, its build, the machine and its state.
#pragma once

#include <string>

#include "engine/backend.h"
#include "eval/telemetry/device_monitor.h"

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
  CardDescription card;     // empty: no card, not known, or nobody asked (describe_card)
  LibraryVersions libraries;
};

Build build_of(const Provenance& provenance);

// "driver 550.54.15, CUDA 12.4, cuBLASLt 12.4.5, power limit 700 W": what is known of these; empty
// for a CPU.
std::string card_text(const Provenance& provenance);

Provenance collect_provenance(const Backend& backend);

}  // namespace skipbench
