// Errors of the CUDA engine that callers tell apart; they are those of every device.
#pragma once

#include "engine/base/error.h"

namespace skipbench::cuda {

using skipbench::DeviceLost;
using skipbench::OutOfMemory;

}  // namespace skipbench::cuda
