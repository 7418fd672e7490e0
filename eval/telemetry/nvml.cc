#include "eval/telemetry/nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <utility>

#include "engine/base/printable.h"

namespace skipbench {
namespace {

// The C interface as NVIDIA's NVML API Reference Guide documents it (docs.nvidia.com/deploy/
// nvml-api): every function returns an nvmlReturn_t, a C enum; a device is an opaque pointer.
namespace nvml_abi {
using Return = int;
using Device = void*;
constexpr Return kSuccess = 0;           // NVML_SUCCESS
constexpr Return kNotSupported = 3;      // NVML_ERROR_NOT_SUPPORTED
constexpr Return kFunctionMissing = 13;  // NVML_ERROR_FUNCTION_NOT_FOUND
constexpr int kClockSm = 1;              // NVML_CLOCK_SM
constexpr int kClockMemory = 2;          // NVML_CLOCK_MEM
constexpr int kSensorGpu = 0;            // NVML_TEMPERATURE_GPU
constexpr unsigned kMigEnabled = 1;      // NVML_DEVICE_MIG_ENABLE
constexpr size_t kVersionBytes = 80;     // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE

using Plain = Return (*)();                                  // nvmlInit_v2, nvmlShutdown
using DriverVersion = Return (*)(char*, unsigned);           // text, its bytes
using HandleByPciBusId = Return (*)(const char*, Device*);   // "domain:bus:device.function"
using MigMode = Return (*)(Device, unsigned*, unsigned*);    // current, after the next reset
using TypedNumber = Return (*)(Device, int, unsigned*);      // clocks in MHz, degrees Celsius
using PowerUsage = Return (*)(Device, unsigned*);            // milliwatts
using LongNumber = Return (*)(Device, unsigned long long*);  // bits; millijoules
}  // namespace nvml_abi

// Bits of nvmlDeviceGetCurrentClocksEventReasons ("NvmlClocksEventReasons" of the same guide).
struct ClockReason {
  int64_t bit;
  std::string_view words;
  bool spoils = false;  // a timing (spoiling_clock_reasons)
};
constexpr int64_t kReasonIdle = 0x1;
constexpr ClockReason kClockReasons[] = {
    {0x2, "a setting of application clocks"},
    {0x4, "its power limit"},
    {0x8, "a slowdown by hardware (heat, power or the power brake)", true},
    {0x10, "sync boost with another card"},
    {0x20, "heat (slowdown by the driver)", true},
    {0x40, "heat (slowdown by hardware)", true},
    {0x80, "the power supply's brake", true},
    {0x100, "a setting of display clocks"}};

class SharedLibrary {
 public:
  explicit SharedLibrary(const std::string& path)
      : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {}
  ~SharedLibrary() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;

  // Null where there is no library or it has no such function.
  template <typename Function>
  Function find(const char* name) const {
    if (handle_ == nullptr) return nullptr;
    return reinterpret_cast<Function>(dlsym(handle_, name));
  }

 private:
  void* handle_;
};

class NvmlMonitor final : public DeviceMonitor {
 public:
  explicit NvmlMonitor(const std::string& library) : library_(library) {}
  ~NvmlMonitor() override {
    if (is_open_ && shutdown_ != nullptr) shutdown_();
  }

  // False where there is no such card, or nothing to ask.
  bool open(const std::string& pci_bus_id) {
    const auto init = library_.find<nvml_abi::Plain>("nvmlInit_v2");
    const auto find_card =
        library_.find<nvml_abi::HandleByPciBusId>("nvmlDeviceGetHandleByPciBusId_v2");
    shutdown_ = library_.find<nvml_abi::Plain>("nvmlShutdown");
    if (init == nullptr || find_card == nullptr) return false;
    is_open_ = init() == nvml_abi::kSuccess;
    if (!is_open_ || find_card(pci_bus_id.c_str(), &card_) != nvml_abi::kSuccess) return false;
    find_functions();
    is_whole_ = !is_divided();
    return true;
  }

  std::string driver_version() const override {
    const auto ask = library_.find<nvml_abi::DriverVersion>("nvmlSystemGetDriverVersion");
    std::array<char, nvml_abi::kVersionBytes + 1> text{};  // ends with a NUL whatever is written
    if (ask == nullptr || ask(text.data(), nvml_abi::kVersionBytes) != nvml_abi::kSuccess) {
      return "";
    }
    return printable(text.data());
  }

  DeviceState state() override {
    DeviceState state;
    state.clock_reasons = number<unsigned long long>(reasons_);
    state.sm_clock_mhz = number<unsigned>(clock_, nvml_abi::kClockSm);
    state.memory_clock_mhz = number<unsigned>(clock_, nvml_abi::kClockMemory);
    state.temperature_c = number<unsigned>(temperature_, nvml_abi::kSensorGpu);
    if (const auto milliwatts = number<unsigned>(is_whole_ ? power_ : nullptr)) {
      state.power_watts = static_cast<double>(*milliwatts) / 1e3;
    }
    return state;
  }

  std::optional<double> energy_joules() override {
    const auto millijoules = number<unsigned long long>(is_whole_ ? energy_ : nullptr);
    if (!millijoules) return std::nullopt;
    return static_cast<double>(*millijoules) / 1e3;
  }

 private:
  void find_functions() {
    clock_ = library_.find<nvml_abi::TypedNumber>("nvmlDeviceGetClockInfo");
    temperature_ = library_.find<nvml_abi::TypedNumber>("nvmlDeviceGetTemperature");
    power_ = library_.find<nvml_abi::PowerUsage>("nvmlDeviceGetPowerUsage");
    energy_ = library_.find<nvml_abi::LongNumber>("nvmlDeviceGetTotalEnergyConsumption");
    reasons_ = library_.find<nvml_abi::LongNumber>("nvmlDeviceGetCurrentClocksEventReasons");
    if (reasons_ == nullptr) {  // its name before driver 535
      reasons_ = library_.find<nvml_abi::LongNumber>("nvmlDeviceGetCurrentClocksThrottleReasons");
    }
  }

  // Whether the card is divided, or will not say so: then its energy may be that of others too.
  bool is_divided() const {
    const auto ask = library_.find<nvml_abi::MigMode>("nvmlDeviceGetMigMode");
    if (ask == nullptr) return false;  // a driver from before there was MIG
    unsigned current = 0, pending = 0;
    const nvml_abi::Return code = ask(card_, &current, &pending);
    if (code == nvml_abi::kNotSupported || code == nvml_abi::kFunctionMissing) return false;
    return code != nvml_abi::kSuccess || current == nvml_abi::kMigEnabled;
  }

  template <typename Number, typename Function, typename... Which>
  std::optional<int64_t> number(Function ask, Which... which) const {
    Number value = 0;
    if (ask == nullptr || ask(card_, which..., &value) != nvml_abi::kSuccess) return std::nullopt;
    if (std::cmp_greater(value, INT64_MAX)) return std::nullopt;
    return static_cast<int64_t>(value);
  }

  SharedLibrary library_;
  bool is_open_ = false, is_whole_ = false;
  nvml_abi::Device card_ = nullptr;
  nvml_abi::Plain shutdown_ = nullptr;
  nvml_abi::TypedNumber clock_ = nullptr, temperature_ = nullptr;
  nvml_abi::PowerUsage power_ = nullptr;
  nvml_abi::LongNumber energy_ = nullptr, reasons_ = nullptr;
};

}  // namespace

std::vector<std::string> clock_reason_words(int64_t bits) {
  std::vector<std::string> words;
  bits &= ~kReasonIdle;
  for (const ClockReason& reason : kClockReasons) {
    if ((bits & reason.bit) != 0) words.emplace_back(reason.words);
    bits &= ~reason.bit;
  }
  for (int shift = 0; shift < 63; ++shift) {
    const int64_t bit = int64_t{1} << shift;
    if ((bits & bit) != 0) words.push_back(fmt::format("reason {:#x}", bit));
  }
  return words;
}

std::vector<std::string> spoiling_clock_reasons(std::string_view words) {
  constexpr std::string_view kBetween = "; ";
  std::vector<std::string> spoiling;
  while (!words.empty()) {
    const std::string_view one = words.substr(0, words.find(kBetween));
    words.remove_prefix(std::min(one.size() + kBetween.size(), words.size()));
    const auto known = std::ranges::find(kClockReasons, one, &ClockReason::words);
    if (known == std::end(kClockReasons) || known->spoils) spoiling.emplace_back(one);
  }
  return spoiling;
}

std::unique_ptr<DeviceMonitor> open_nvml(const std::string& library,
                                         const std::string& pci_bus_id) {
  auto monitor = std::make_unique<NvmlMonitor>(library);
  if (!monitor->open(pci_bus_id)) return nullptr;
  return monitor;
}

}  // namespace skipbench
