// The one place that knows which devices this binary was built for.
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/base/error.h"
#include "engine/cpu/cpu_backend.h"
#if defined(SKIPBENCH_WITH_CUDA) || defined(SKIPBENCH_WITH_EMULATED)
#include "engine/cuda/cuda_backend.h"
#endif

namespace skipbench {
namespace {

// Names by which this build's devices are asked for. A build has CUDA or its emulation (test-only).
#if defined(SKIPBENCH_WITH_CUDA)
const std::vector<std::string> kDevices = {"cpu", "cuda"};
#elif defined(SKIPBENCH_WITH_EMULATED)
const std::vector<std::string> kDevices = {"cpu", "emulated"};
#else
const std::vector<std::string> kDevices = {"cpu"};
#endif

}  // namespace

std::unique_ptr<Backend> make_backend(const DeviceSpec& spec) {
  if (spec.device == "cpu") return make_cpu_backend(spec);
#if defined(SKIPBENCH_WITH_CUDA) || defined(SKIPBENCH_WITH_EMULATED)
  if (spec.device == kDevices.back()) return make_cuda_backend(spec);
#endif
  throw Error({.what = "device '" + spec.device + "' is not in this build",
               .where = "--device",
               .expected = nearest_names(spec.device, kDevices),
               .hint = spec.device == "cuda"
                           ? "build with the preset cuda-release (it needs nvcc)"
                           : ""});
}

}  // namespace skipbench
