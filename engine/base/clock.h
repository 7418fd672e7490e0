// Wall time of what the host waits for.
#pragma once

#include <chrono>

namespace skipbench {

using Clock = std::chrono::steady_clock;

inline double microseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

}  // namespace skipbench
