// What a batch takes beside its time: energy, the memory at its peak, and the clocks that it ran
// at.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/backend.h"
#include "eval/telemetry/device_monitor.h"
#include "eval/telemetry/nvml.h"
#include "eval/telemetry/powercap.h"
#include "eval/telemetry/process_memory.h"

namespace skipbench {

// Where the machine is asked; tests have their own.
struct TelemetrySources {
  std::string nvml_library = kNvmlLibrary;
  std::string powercap_folder = kPowercapFolder;
  std::string process_folder = kProcessFolder;
};

struct BatchUse {
  std::optional<double> energy_joules;  // of the whole card, or of the CPU's packages
  // Of a device with memory of its own what the backend held at once, else the process's pages in
  // RAM: models and caches of strategies that take turns are in both.
  std::optional<int64_t> peak_memory_bytes;
  // At the end. The reasons of lower clocks are those of the beginning too, foreign processes and
  // their memory the most of both moments.
  DeviceState state;
};

// NVML for a backend that names its card, powercap for the CPU, null for neither.
std::unique_ptr<DeviceMonitor> monitor_of(const Backend& backend, const TelemetrySources& sources);

// Driver, UUID and power limit of a card; empty for a CPU, and where it is not known.
CardDescription describe_card(const Backend& backend, const TelemetrySources& sources = {});

// begin, the batch, end: asks the machine before and after, never while a batch runs, which is
// timed. Throws nothing: what the machine does not say is missing.
class BatchMeter {
 public:
  BatchMeter(Backend& backend, const TelemetrySources& sources)
      : backend_(backend), sources_(sources), process_(sources.process_folder) {}

  void begin();
  BatchUse end();

 private:
  Backend& backend_;
  TelemetrySources sources_;
  ProcessMemory process_;
  std::unique_ptr<DeviceMonitor> monitor_;  // opened by the first batch; null: there is none
  bool is_asked_ = false, has_peak_ = false;
  DeviceState first_;
  std::optional<double> first_joules_;
};

}  // namespace skipbench
