// One sweep on several machines: which of its work each of them does.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/sweep/setup.h"

namespace skipbench {

struct Shard {
  int index = 1, count = 1;  // 1 <= index <= count
};

// "2/5". Throws Error for anything else, naming --shard.
Shard parse_shard(const std::string& text);

// For each point and each of its cells, whether it is the shard's. Units of work are dealt out in
// turn: a quality cell, and all timed cells of one data set and batch size, whose speeds compare
// only when they are measured side by side. A cell that several points share is one unit.
std::vector<std::vector<bool>> cells_of_shard(std::span<const SweepSetup> variants, Shard shard);

}  // namespace skipbench
