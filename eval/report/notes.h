// What stands below a results table: what to mind when reading it, and where its numbers come from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/report/result_table.h"

namespace skipbench {

// A machine that measured cells of the rows of a table.
struct MachineUse {
  size_t index = 0;  // into ResultTable::machines
  const Machine* machine = nullptr;
  int64_t scored = 0, timed = 0;     // cells
  std::vector<std::string> timings;  // "batch 8", with the data set where there are several
};

std::vector<MachineUse> machines_used(const ResultTable& table);

// Which rows lack a p that was asked for, and why.
std::vector<std::string> untested_notes(const ResultTable& table);

// Sentences about rows that are not alike; none where they are.
std::vector<std::string> row_notes(const ResultTable& table);

// Both of these.
std::vector<std::string> reading_notes(const ResultTable& table);

// Model, how texts were decoded, and the machines that measured the rows.
std::vector<std::string> measuring_notes(const ResultTable& table);

// These, build and command.
std::vector<std::string> provenance_notes(const ResultTable& table);

}  // namespace skipbench
