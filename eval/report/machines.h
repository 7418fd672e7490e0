// Which machines measured the cells of a table: a file that was merged, or carried elsewhere, has
// several.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "eval/store/database.h"

namespace skipbench {

// What a timing's identity calls its machine. Peaks: as measured last there; 0: unknown.
struct Machine {
  std::string device;       // "cpu"
  std::string device_name;  // the CPU's or the card's model name
  std::string cpu;          // model name
  int64_t threads = 0;      // 0: unknown
  std::string instruction_set;
  double peak_read_bytes_per_second = 0, peak_flops_per_second = 0;

  bool is_same(const Machine& other) const;
};

// "AMD EPYC / avx2 / 2 threads": without a comma, which separates values of a condition.
std::string machine_name(const Machine& machine);

struct CellMachines {
  std::vector<Machine> machines;
  std::map<int64_t, size_t>
      of_cell;  // index into `machines`, of cells that a run has given a status
};

// Of the cells that the run `run` lists.
CellMachines find_machines(Database& database, int64_t run);

}  // namespace skipbench
