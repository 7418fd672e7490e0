// The one place that knows which devices this binary was built for.
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/base/error.h"
#include "engine/cpu/cpu_backend.h"
#ifdef SKIPBENCH_WITH_CUDA
#include "engine/cuda/cuda_backend.h"
#endif

namespace skipbench {

std::unique_ptr<Backend> make_backend(const DeviceSpec& spec) {
  if (spec.device == "cpu") return make_cpu_backend(spec);
#ifdef SKIPBENCH_WITH_CUDA
  if (spec.device == "cuda") return make_cuda_backend(spec);
  const std::vector<std::string> known = {"cpu", "cuda"};
  const std::string hint;
#else
  const std::vector<std::string> known = {"cpu"};
  const std::string hint =
      spec.device == "cuda" ? "build with the preset cuda-release (it needs nvcc)" : "";
#endif
  throw Error({.what = "device '" + spec.device + "' is not in this build",
               .where = "--device",
               .expected = nearest_names(spec.device, known),
               .hint = hint});
}

}  // namespace skipbench
