#include "eval/telemetry/nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

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
constexpr Return kNoRoom = 7;            // NVML_ERROR_INSUFFICIENT_SIZE
constexpr Return kFunctionMissing = 13;  // NVML_ERROR_FUNCTION_NOT_FOUND
constexpr int kClockSm = 1;              // NVML_CLOCK_SM
constexpr int kClockMemory = 2;          // NVML_CLOCK_MEM
constexpr int kSensorGpu = 0;            // NVML_TEMPERATURE_GPU
constexpr unsigned kMigEnabled = 1;      // NVML_DEVICE_MIG_ENABLE
constexpr size_t kVersionBytes = 80;     // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE
constexpr size_t kUuidBytes = 96;        // NVML_DEVICE_UUID_V2_BUFFER_SIZE

constexpr unsigned long long kNotAvailable = ~0ULL;  // NVML_VALUE_NOT_AVAILABLE

using Plain = Return (*)();                                  // nvmlInit_v2, nvmlShutdown
using DriverVersion = Return (*)(char*, unsigned);           // text, its bytes
using HandleByPciBusId = Return (*)(const char*, Device*);   // "domain:bus:device.function"
using MigMode = Return (*)(Device, unsigned*, unsigned*);    // current, after the next reset
using TypedNumber = Return (*)(Device, int, unsigned*);      // clocks in MHz, degrees Celsius
using Uuid = Return (*)(Device, char*, unsigned);            // text, its bytes
using Power = Return (*)(Device, unsigned*);                 // milliwatts
using LongNumber = Return (*)(Device, unsigned long long*);  // bits; millijoules

struct OldProcess {  // nvmlProcessInfo_v1_t
  unsigned pid;
  unsigned long long memory_bytes;
};
struct Process {  // nvmlProcessInfo_v2_t
  unsigned pid;
  unsigned long long memory_bytes;
  unsigned gpu_instance, compute_instance;
};
using OldProcesses = Return (*)(Device, unsigned*, OldProcess*);  // room, then how many there are
using Processes = Return (*)(Device, unsigned*, Process*);
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

  CardDescription card() const override {
    CardDescription card;
    std::array<char, nvml_abi::kVersionBytes + 1> version{};  // ends with a NUL, come what may
    const auto ask_version = library_.find<nvml_abi::DriverVersion>("nvmlSystemGetDriverVersion");
    if (ask_version != nullptr &&
        ask_version(version.data(), nvml_abi::kVersionBytes) == nvml_abi::kSuccess) {
      card.driver = printable(version.data());
    }
    std::array<char, nvml_abi::kUuidBytes + 1> uuid{};
    const auto ask_uuid = library_.find<nvml_abi::Uuid>("nvmlDeviceGetUUID");
    if (ask_uuid != nullptr &&
        ask_uuid(card_, uuid.data(), nvml_abi::kUuidBytes) == nvml_abi::kSuccess) {
      card.uuid = printable(uuid.data());
    }
    card.power_limit_watts =
        watts(library_.find<nvml_abi::Power>("nvmlDeviceGetEnforcedPowerLimit"));
    return card;
  }

  DeviceState state() override {
    DeviceState state;
    state.clock_reasons = number<unsigned long long>(reasons_);
    state.sm_clock_mhz = number<unsigned>(clock_, nvml_abi::kClockSm);
    state.memory_clock_mhz = number<unsigned>(clock_, nvml_abi::kClockMemory);
    state.temperature_c = number<unsigned>(temperature_, nvml_abi::kSensorGpu);
    state.power_watts = watts(is_whole_ ? power_ : nullptr);
    if (processes_ != nullptr) {
      add_foreign(listed(processes_), state);
    } else if (old_processes_ != nullptr) {
      add_foreign(listed(old_processes_), state);
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
    power_ = library_.find<nvml_abi::Power>("nvmlDeviceGetPowerUsage");
    energy_ = library_.find<nvml_abi::LongNumber>("nvmlDeviceGetTotalEnergyConsumption");
    reasons_ = library_.find<nvml_abi::LongNumber>("nvmlDeviceGetCurrentClocksEventReasons");
    if (reasons_ == nullptr) {  // its name before driver 535
      reasons_ = library_.find<nvml_abi::LongNumber>("nvmlDeviceGetCurrentClocksThrottleReasons");
    }
    // The newer of these sees all parts of a divided card; drivers before both have other entries.
    for (const char* name :
         {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"}) {
      if (processes_ == nullptr) processes_ = library_.find<nvml_abi::Processes>(name);
    }
    old_processes_ = library_.find<nvml_abi::OldProcesses>("nvmlDeviceGetComputeRunningProcesses");
  }

  // The processes that compute on the card; nothing where it does not say.
  template <typename Entry>
  std::optional<std::vector<Entry>> listed(nvml_abi::Return (*ask)(nvml_abi::Device, unsigned*,
                                                                   Entry*)) const {
    constexpr unsigned kMostProcesses = 1 << 14;
    for (unsigned room = 1 << 6; room <= kMostProcesses; room *= 4) {
      // Some drivers of series 535 write 32 bytes an entry, 8 more than others: room for them too.
      std::vector<Entry> entries(size_t{2} * room);
      unsigned count = room;
      const nvml_abi::Return code = ask(card_, &count, entries.data());
      if (code == nvml_abi::kNoRoom) continue;
      if (code != nvml_abi::kSuccess || count > room) return std::nullopt;
      entries.resize(count);
      return entries;
    }
    return std::nullopt;
  }

  // All but this process. Within a container the driver lists ids of outside, or none at all: as
  // this process works on the card, one of those listed is it, and nobody knows which.
  template <typename Entry>
  static void add_foreign(const std::optional<std::vector<Entry>>& entries, DeviceState& state) {
    if (!entries || entries->empty()) return;
    const auto own = static_cast<unsigned>(getpid());
    const auto ours = std::ranges::count(*entries, own, &Entry::pid);
    state.foreign_processes = std::ssize(*entries) - std::max<int64_t>(1, ours);
    if (ours == 0 && *state.foreign_processes > 0) return;
    int64_t bytes = 0;
    for (const Entry& one : *entries) {
      if (one.pid == own || ours == 0) continue;
      if (one.memory_bytes == nvml_abi::kNotAvailable ||
          std::cmp_greater(one.memory_bytes, INT64_MAX - bytes)) {
        return;
      }
      bytes += static_cast<int64_t>(one.memory_bytes);
    }
    state.foreign_memory_bytes = bytes;
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

  std::optional<double> watts(nvml_abi::Power ask) const {
    const auto milliwatts = number<unsigned>(ask);
    if (!milliwatts) return std::nullopt;
    return static_cast<double>(*milliwatts) / 1e3;
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
  nvml_abi::Power power_ = nullptr;
  nvml_abi::LongNumber energy_ = nullptr, reasons_ = nullptr;
  nvml_abi::Processes processes_ = nullptr;
  nvml_abi::OldProcesses old_processes_ = nullptr;
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
