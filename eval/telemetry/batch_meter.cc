#include "eval/telemetry/batch_meter.h"

#include <algorithm>

namespace skipbench {

std::unique_ptr<DeviceMonitor> monitor_of(const Backend& backend, const TelemetrySources& sources) {
  if (const std::string card = backend.pci_bus_id(); !card.empty()) {
    return open_nvml(sources.nvml_library, card);
  }
  return backend.name() == "cpu" ? open_powercap(sources.powercap_folder) : nullptr;
}

CardDescription describe_card(const Backend& backend, const TelemetrySources& sources) {
  const auto monitor = monitor_of(backend, sources);
  return monitor == nullptr ? CardDescription{} : monitor->card();
}

void BatchMeter::begin() {
  if (!is_asked_) monitor_ = monitor_of(backend_, sources_);
  is_asked_ = true;
  has_peak_ = backend_.peak_memory_bytes().has_value() || process_.reset_peak();
  backend_.reset_peak_memory();
  first_ = {};
  first_joules_.reset();
  if (monitor_ == nullptr) return;
  first_ = monitor_->state();
  first_joules_ = monitor_->energy_joules();  // last, and first in `end`: nothing but the batch
}

BatchUse BatchMeter::end() {
  BatchUse use;
  if (monitor_ != nullptr) {
    const auto joules = monitor_->energy_joules();
    // A counter that went back was reset with its driver.
    if (joules && first_joules_ && *joules >= *first_joules_) {
      use.energy_joules = *joules - *first_joules_;
    }
    use.state = monitor_->state();
    if (first_.clock_reasons) {
      use.state.clock_reasons = use.state.clock_reasons.value_or(0) | *first_.clock_reasons;
    }
    // Nothing is less than a number.
    use.state.foreign_processes = std::max(use.state.foreign_processes, first_.foreign_processes);
    use.state.foreign_memory_bytes =
        std::max(use.state.foreign_memory_bytes, first_.foreign_memory_bytes);
  }
  if (!has_peak_) return use;
  const auto on_device = backend_.peak_memory_bytes();
  use.peak_memory_bytes = on_device ? on_device : process_.peak_bytes();
  return use;
}

}  // namespace skipbench
