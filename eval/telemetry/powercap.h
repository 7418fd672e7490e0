// The energy of the CPU's packages as Linux tells it: RAPL's counters under /sys/class/powercap,
// which most systems let root alone read.
#pragma once

#include <memory>
#include <string>

#include "eval/telemetry/device_monitor.h"

namespace skipbench {

inline constexpr char kPowercapFolder[] = "/sys/class/powercap";

// Sums the zones `intel-rapl:N` (AMD's have that name too) in `folder` that are called package-*:
// cores, caches and what else is in the package, of all processes; no memory chips. Null, and never
// an error, where there is none or one of them cannot be read. The counters begin anew at their
// range's end: energy_joules has to be called at least once in the time that takes (minutes).
std::unique_ptr<DeviceMonitor> open_powercap(const std::string& folder);

}  // namespace skipbench
