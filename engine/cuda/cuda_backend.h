// The CUDA engine behind Backend's interface. Includes no CUDA header.
#pragma once

#include <memory>

#include "engine/backend.h"

namespace skipbench {

// On the first device that CUDA_VISIBLE_DEVICES leaves. Throws Error where there is no device or
// the type cannot be that of activations; OutOfMemory from any call that needs memory, after which
// the backend may still be used; DeviceLost once the device is beyond use.
std::unique_ptr<Backend> make_cuda_backend(const DeviceSpec& spec);

}  // namespace skipbench
