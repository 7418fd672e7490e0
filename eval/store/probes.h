// What `skipbench probe` found, kept beside a sweep's results.
#pragma once

#include <string>
#include <vector>

#include "eval/store/store.h"

namespace skipbench {

struct ProbeRecord {
  std::string identity;  // of model, texts and settings: probing them again replaces the record
  std::string command;
  std::string commit;
  std::string device_name;
  std::string result;       // JSON, as the command prints it
  std::string probed = {};  // UTC, set by add_probe
};

void add_probe(ResultStore& store, const ProbeRecord& record);

// In the order of their probing.
std::vector<ProbeRecord> probes(ResultStore& store);

// Copies what `output` lacks or has from an earlier probing.
void merge_probes(Database& input, Database& output);

}  // namespace skipbench
