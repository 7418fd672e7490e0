// The CPU engine: Highway kernels for every instruction set it was built for, chosen at run time.
#pragma once

#include <memory>

#include "engine/backend.h"

namespace skipbench {

// spec.device is not looked at. Throws Error for a dtype that activations cannot have and for a
// negative or absurd number of threads; 0 threads: as many as the process may use.
std::unique_ptr<Backend> make_cpu_backend(const DeviceSpec& spec);

}  // namespace skipbench
