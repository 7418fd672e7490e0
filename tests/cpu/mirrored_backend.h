// A device behind host memory: one test body serves the CPU and the devices.
#pragma once

#include <memory>

#include "engine/backend.h"

namespace skipbench::cpu_test {

// Every operation gets copies of its operands in device memory, each in an allocation of its exact
// size, and its results are copied back: what a kernel touches beyond an operand is outside of an
// allocation. Copies of weights are dropped after each operation.
std::unique_ptr<Backend> mirror_host_memory(std::unique_ptr<Backend> device);

}  // namespace skipbench::cpu_test
