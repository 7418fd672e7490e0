#include "eval/telemetry/batch_meter.h"

namespace skipbench {

std::unique_ptr<DeviceMonitor> monitor_of(const Backend& backend, const TelemetrySources& sources) {
  if (const std::string card = backend.pci_bus_id(); !card.empty()) {
    return open_nvml(sources.nvml_library, card);
  }
  return backend.name() == "cpu" ? open_powercap(sources.powercap_folder) : nullptr;
}

std::string driver_version(const Backend& backend, const TelemetrySources& sources) {
  const auto monitor = monitor_of(backend, sources);
  return monitor == nullptr ? "" : monitor->driver_version();
}

void BatchMeter::begin() {
  if (!is_asked_) monitor_ = monitor_of(backend_, sources_);
  is_asked_ = true;
  has_peak_ = backend_.peak_memory_bytes().has_value() || process_.reset_peak();
  backend_.reset_peak_memory();
  first_reasons_.reset();
  first_joules_.reset();
  if (monitor_ == nullptr) return;
  first_reasons_ = monitor_->state().clock_reasons;
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
    if (first_reasons_) {
      use.state.clock_reasons = use.state.clock_reasons.value_or(0) | *first_reasons_;
    }
  }
  if (!has_peak_) return use;
  const auto on_device = backend_.peak_memory_bytes();
  use.peak_memory_bytes = on_device ? on_device : process_.peak_bytes();
  return use;
}

}  // namespace skipbench
