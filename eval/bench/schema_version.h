#pragma once

namespace skipbench {

// Of a bench's fields, in every row as `schema_version`. Rows from before they had one are version
// 0 and lack `gpu_info` too.
constexpr int kBenchSchemaVersion = 1;

}  // namespace skipbench
