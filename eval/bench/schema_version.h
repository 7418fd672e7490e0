#pragma once

namespace skipbench {

// Of a bench's fields, in every row as `schema_version`. 2: driver, energy, peak memory and clocks;
// 3: UUID, power limit, CUDA's and cuBLASLt's version, other processes on the card. Rows from
// before they had one are version 0 and lack `gpu_info` too.
constexpr int kBenchSchemaVersion = 3;

}  // namespace skipbench
