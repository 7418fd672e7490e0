// NVML, the library of NVIDIA's driver, opened while the program runs: no build needs it.
#pragma once

#include <memory>
#include <string>

#include "eval/telemetry/device_monitor.h"

namespace skipbench {

inline constexpr char kNvmlLibrary[] = "libnvidia-ml.so.1";  // found as the dynamic linker finds it

// The card at `pci_bus_id` ("0000:65:00.0", as the CUDA runtime says it, whatever
// CUDA_VISIBLE_DEVICES hides). Null, and never an error, where the library or one of the functions
// that find a card is missing, no driver runs, or it does not know the card; a function of a single
// number that is missing or fails leaves that number out. Of a card that is divided (MIG), power
// and energy are those of all its parts together and are left out. Foreign processes are those that
// compute; those that only draw are not counted.
std::unique_ptr<DeviceMonitor> open_nvml(const std::string& library, const std::string& pci_bus_id);

}  // namespace skipbench
