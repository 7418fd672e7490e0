#pragma once

namespace skipbench {

// Of a bench's fields, in every row as `schema_version`. 2: driver, energy, peak memory and clocks.
// Rows from before they had one are version 0 and lack `gpu_info` too.
constexpr int kBenchSchemaVersion = 2;

}  // namespace skipbench
