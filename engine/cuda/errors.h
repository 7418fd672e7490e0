// Errors of the CUDA engine that callers tell apart.
#pragma once

#include <string>

#include "engine/base/error.h"

namespace skipbench::cuda {

// Device memory ran out; says what was asked and what was free. The device stays usable.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// The device is unusable from now on ("sticky"): the process must close its files and end.
class DeviceLost : public Error {
 public:
  using Error::Error;
};

}  // namespace skipbench::cuda
