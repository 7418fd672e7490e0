// The one place that knows which devices this binary was built for.
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/base/error.h"
#include "engine/cpu/cpu_backend.h"

namespace skipbench {

std::unique_ptr<Backend> make_backend(const DeviceSpec& spec) {
  if (spec.device == "cpu") return make_cpu_backend(spec);
  const std::vector<std::string> known = {"cpu"};
  throw Error({.what = "device '" + spec.device + "' is not in this build",
               .where = "--device",
               .expected = nearest_names(spec.device, known),
               .hint = "the CUDA engine is not written yet; use --device cpu"});
}

}  // namespace skipbench
