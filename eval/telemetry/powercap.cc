#include "eval/telemetry/powercap.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "eval/telemetry/kernel_file.h"

namespace skipbench {
namespace {

struct PackageZone {
  std::string counter;   // path of energy_uj
  int64_t range_uj = 0;  // where the counter begins anew
  int64_t last_uj = 0;
  double joules = 0;  // since the zone was opened
};

// "intel-rapl:0", but not its parts ("intel-rapl:0:1") nor the second way to the same counter
// ("intel-rapl-mmio:0").
bool is_top_zone(const std::string& name) {
  constexpr std::string_view kPrefix = "intel-rapl:";
  return name.starts_with(kPrefix) && name.size() > kPrefix.size() &&
         name.find_first_not_of("0123456789", kPrefix.size()) == std::string::npos;
}

class PackageEnergy final : public DeviceMonitor {
 public:
  explicit PackageEnergy(std::vector<PackageZone> zones) : zones_(std::move(zones)) {}

  std::optional<double> energy_joules() override {
    double sum = 0;
    for (PackageZone& zone : zones_) {
      const auto now = kernel_number(zone.counter);
      if (!now || *now > zone.range_uj) return std::nullopt;
      const int64_t used = *now - zone.last_uj;
      zone.joules += static_cast<double>(used < 0 ? used + zone.range_uj : used) / 1e6;
      zone.last_uj = *now;
      sum += zone.joules;
    }
    return sum;
  }

 private:
  std::vector<PackageZone> zones_;
};

}  // namespace

std::unique_ptr<DeviceMonitor> open_powercap(const std::string& folder) {
  std::error_code error;
  std::vector<PackageZone> zones;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    const std::string zone = at->path().string();
    if (!is_top_zone(at->path().filename().string())) continue;
    if (!kernel_line(zone + "/name").value_or("").starts_with("package")) continue;
    const auto range = kernel_number(zone + "/max_energy_range_uj");
    const auto now = kernel_number(zone + "/energy_uj");
    // A sum over some of the packages would be taken for all.
    if (!range || !now || *range <= 0 || *now > *range) return nullptr;
    zones.push_back({zone + "/energy_uj", *range, *now, 0});
  }
  if (error || zones.empty()) return nullptr;
  return std::make_unique<PackageEnergy>(std::move(zones));
}

}  // namespace skipbench
