// Speeds and times of one cell, from the raw times of its batches.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "eval/report/result_table.h"

namespace skipbench {

// Of a cell in one timing group: medians over repetitions, and each repetition's.
struct Speeds {
  double total = 0, decode = 0;
  std::optional<double> spread;                       // none of a single repetition
  std::vector<double> total_of_each, decode_of_each;  // [repetitions], from the first
};

std::optional<Speeds> speeds_of(Database& database, int64_t cell, int64_t group);

// Fills the ends of the intervals of the row's speedups over `full`, which took turns with it.
void add_speed_intervals(const Speeds& speeds, const Speeds& full, TableRow& row);

// Fills what the row says of a timing's single batches and steps.
void add_timed_batches(Database& database, int64_t cell, int64_t group, TableRow& row);

// Fills what the row says of energy, memory and clocks at the timed batches.
void add_batch_use(Database& database, int64_t cell, int64_t group, TableRow& row);

// MiB of the weights that the cell's passes read and of its largest batch's keys and values.
// Nothing where an older version timed it.
std::optional<double> needed_mib(Database& database, int64_t cell, int64_t group);

// Fills the row's speed of decoding the scored outputs.
void add_natural_speed(Database& database, int64_t cell, TableRow& row);

}  // namespace skipbench
