#include "engine/sampling.h"

#include <fmt/format.h>

#include "engine/base/error.h"

namespace skipbench {

void check_sampling(const Sampling& sampling, const std::string& where) {
  constexpr double kLeast = 0.01, kMost = 100;
  const double temperature = sampling.temperature;
  if (!sampling.is_greedy() && !(temperature >= kLeast && temperature <= kMost)) {
    throw Error({.what = "temperature out of range",
                 .where = where,
                 .expected = fmt::format("0 (greedy) or a number in [{}, {}]", kLeast, kMost),
                 .got = fmt::format("{}", temperature)});
  }
  if (sampling.top_k < 0 || (sampling.top_k > 0 && sampling.is_greedy())) {
    throw Error({.what = "top_k out of range",
                 .where = where,
                 .expected = "0 (all tokens), or a positive number beside a temperature above 0",
                 .got = fmt::format("{} at temperature {}", sampling.top_k, temperature)});
  }
}

}  // namespace skipbench
