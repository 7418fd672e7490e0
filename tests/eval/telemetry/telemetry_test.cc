// What a machine says of itself, from a library and folders with planted values.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "eval/telemetry/batch_meter.h"
#include "eval/telemetry/kernel_file.h"
#include "tests/eval/telemetry/fake_nvml.h"
#include "tests/temp_folder.h"

namespace skipbench {
namespace {

constexpr char kCard[] = "0000:65:00.0";

// The stand-in, open for as long as the test runs, so that what it plants is what is asked.
class FakeNvml {
 public:
  explicit FakeNvml(const char* path) : path_(path), handle_(dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(dlerror());
    card_ = static_cast<FakeCard*>(dlsym(handle_, "fake_card"));
    before_ = *card_;
  }
  ~FakeNvml() {
    *card_ = before_;
    dlclose(handle_);
  }
  FakeNvml(const FakeNvml&) = delete;
  FakeNvml& operator=(const FakeNvml&) = delete;

  FakeCard& card() { return *card_; }
  void plant(const std::vector<FakeCard::Process>& processes) {
    std::ranges::copy(processes, card_->processes);
    card_->num_processes = static_cast<unsigned>(processes.size());
  }
  std::unique_ptr<DeviceMonitor> open() const { return open_nvml(path_, kCard); }

 private:
  const char* path_;
  void* handle_;
  FakeCard* card_ = nullptr;
  FakeCard before_;
};

TEST(Nvml, SaysWhatTheCardSays) {
  FakeNvml fake(SKIPBENCH_FAKE_NVML);
  fake.card().reasons = 0x4 | 0x20;
  {
    const auto monitor = fake.open();
    ASSERT_NE(monitor, nullptr);
    EXPECT_EQ(fake.card().opened, 1);
    EXPECT_STREQ(fake.card().asked_for, kCard);
    const CardDescription card = monitor->card();
    EXPECT_EQ(card.driver, "550.54.15\\x1b");  // its end is marked, its escape sequence is none
    EXPECT_EQ(card.uuid, "GPU-8f5c1a2e-0000-1111-2222-333344445555");
    EXPECT_EQ(card.power_limit_watts, 700);
    const DeviceState state = monitor->state();
    EXPECT_EQ(state.sm_clock_mhz, 1755);
    EXPECT_EQ(state.memory_clock_mhz, 2619);
    EXPECT_EQ(state.temperature_c, 61);
    EXPECT_EQ(state.power_watts, 612.345);
    EXPECT_EQ(state.clock_reasons, 0x24);
    EXPECT_EQ(monitor->energy_joules(), 5000);
  }
  EXPECT_EQ(fake.card().opened, 0) << "what was opened is closed";
}

TEST(Nvml, AMissingLibraryOrCardIsNoError) {
  EXPECT_EQ(open_nvml("libskipbench-no-such-library.so.1", kCard), nullptr);
  EXPECT_EQ(open_nvml("libm.so.6", kCard), nullptr) << "a library without these functions";
  FakeNvml fake(SKIPBENCH_FAKE_NVML);
  fake.card().find_code = 6;  // NVML_ERROR_NOT_FOUND
  EXPECT_EQ(fake.open(), nullptr);
  EXPECT_EQ(fake.card().opened, 0);
  fake.card().init_code = 9;  // NVML_ERROR_DRIVER_NOT_LOADED
  EXPECT_EQ(fake.open(), nullptr);
  EXPECT_EQ(fake.card().opened, 0);
}

TEST(Nvml, ACallThatFailsLeavesItsNumberOut) {
  FakeNvml fake(SKIPBENCH_FAKE_NVML);
  fake.card().value_code = 999;  // NVML_ERROR_UNKNOWN
  const auto monitor = fake.open();
  const DeviceState state = monitor->state();
  EXPECT_FALSE(state.sm_clock_mhz || state.memory_clock_mhz || state.temperature_c ||
               state.power_watts || state.clock_reasons);
  EXPECT_FALSE(monitor->energy_joules());
  EXPECT_EQ(monitor->card().uuid, "");
  EXPECT_FALSE(monitor->card().power_limit_watts);
  fake.card().value_code = 0;
  fake.card().millijoules = ~0ULL;  // no number of ours
  EXPECT_FALSE(monitor->energy_joules());
}

TEST(Nvml, AnOldDriversNamesAndGaps) {
  FakeNvml fake(SKIPBENCH_OLD_NVML_LIBRARY);
  fake.card().reasons = 0x40;
  const auto monitor = fake.open();
  ASSERT_NE(monitor, nullptr);
  EXPECT_EQ(monitor->state().clock_reasons, 0x40);
  EXPECT_EQ(monitor->state().power_watts, 612.345);
  EXPECT_FALSE(monitor->energy_joules());
  EXPECT_EQ(monitor->card().driver, "550.54.15\\x1b");
  EXPECT_EQ(monitor->card().uuid, "");
  EXPECT_FALSE(monitor->card().power_limit_watts);
  fake.plant({{static_cast<unsigned>(getpid()), 5}, {7, 100}});
  EXPECT_EQ(monitor->state().foreign_processes, 1);
  EXPECT_EQ(monitor->state().foreign_memory_bytes, 100);
}

TEST(Nvml, ForeignProcessesAreAllButThisOne) {
  FakeNvml fake(SKIPBENCH_FAKE_NVML);
  const auto own = static_cast<unsigned>(getpid());
  constexpr unsigned long long kNotAvailable = ~0ULL;
  const auto monitor = fake.open();
  const auto check = [&](const std::vector<FakeCard::Process>& listed,
                         std::optional<int64_t> processes, std::optional<int64_t> bytes) {
    fake.plant(listed);
    const DeviceState state = monitor->state();
    EXPECT_EQ(state.foreign_processes, processes) << listed.size();
    EXPECT_EQ(state.foreign_memory_bytes, bytes) << listed.size();
  };
  check({{own, 1000}}, 0, 0);
  check({{7, 100}, {own, 1000}, {8, 20}}, 2, 120);
  check({{7, 100}, {own, kNotAvailable}}, 1, 100);
  check({{7, kNotAvailable}, {own, 1000}}, 1, std::nullopt);
  check({{7, 1ULL << 63}, {own, 1000}}, 1, std::nullopt);
  check({{7, INT64_MAX}, {8, INT64_MAX}, {own, 1}}, 2, std::nullopt);
  // Ids of outside a container: one of them is this process.
  check({{own + 1, 1000}}, 0, 0);
  check({{own + 1, 1000}, {own + 2, 50}}, 1, std::nullopt);
  check({}, std::nullopt, std::nullopt);
  std::vector<FakeCard::Process> many(80, {own + 1, 3});  // more than are asked for at first
  many[70].pid = own;
  check(many, 79, 3 * 79);
  fake.card().processes_code = 4;  // NVML_ERROR_NO_PERMISSION
  check({{7, 100}, {own, 1000}}, std::nullopt, std::nullopt);
  fake.card().processes_code = 7;  // never enough room
  check({{7, 100}, {own, 1000}}, std::nullopt, std::nullopt);
}

TEST(Nvml, EnergyOfADividedCardIsNotThisProcesss) {
  FakeNvml fake(SKIPBENCH_FAKE_NVML);
  const auto has_energy = [&](int code, unsigned mode) {
    fake.card().mig_code = code;
    fake.card().mig_mode = mode;
    const auto monitor = fake.open();
    EXPECT_TRUE(monitor->state().sm_clock_mhz);
    EXPECT_EQ(monitor->state().power_watts.has_value(), monitor->energy_joules().has_value());
    return monitor->energy_joules().has_value();
  };
  EXPECT_TRUE(has_energy(0, 0));
  EXPECT_FALSE(has_energy(0, 1));
  EXPECT_TRUE(has_energy(3, 1)) << "a card that cannot be divided";
  EXPECT_FALSE(has_energy(4, 0)) << "it may not be asked";
}

TEST(Nvml, ReasonsInWords) {
  EXPECT_TRUE(clock_reason_words(0).empty());
  EXPECT_TRUE(clock_reason_words(1).empty()) << "idleness is none";
  EXPECT_EQ(clock_reason_words(0x5), std::vector<std::string>{"its power limit"});
  EXPECT_EQ(clock_reason_words(0x1fe).size(), 8u);
  EXPECT_EQ(clock_reason_words(0x400 | 0x20),
            (std::vector<std::string>{"heat (slowdown by the driver)", "reason 0x400"}));
  EXPECT_FALSE(clock_reason_words(-1).empty());
}

// The bits are those of heat, hardware, its brake and of what is not known yet.
TEST(Nvml, ReasonsThatSpoilATiming) {
  EXPECT_TRUE(spoiling_clock_reasons("").empty());
  for (int shift = 0; shift < 12; ++shift) {
    const int64_t bit = int64_t{1} << shift;
    for (const std::string& words : clock_reason_words(bit)) {
      EXPECT_EQ(spoiling_clock_reasons(words).size(), (bit & 0xee8) != 0) << words;
    }
  }
  EXPECT_EQ(spoiling_clock_reasons("its power limit; the power supply's brake; reason 0x200"),
            (std::vector<std::string>{"the power supply's brake", "reason 0x200"}));
}

class KernelFolder : public testing::Test {
 protected:
  void SetUp() override { folder_ = make_temp_folder("telemetry"); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  void write_zone(const std::string& zone, const std::string& name, const std::string& counter,
                  const std::string& range = "1000000\n") const {
    write(zone + "/name", name + "\n");
    write(zone + "/energy_uj", counter);
    write(zone + "/max_energy_range_uj", range);
  }

  std::filesystem::path folder_;
};

TEST_F(KernelFolder, PackagesAreSummedOverTheirEnds) {
  write_zone("intel-rapl:0", "package-0", "900000\n");
  write_zone("intel-rapl:1", "package-1", "5\n");
  write_zone("intel-rapl:0:0", "core", "1\n");          // part of a package
  write_zone("intel-rapl:2", "psys", "1\n");            // of the whole machine
  write_zone("intel-rapl-mmio:0", "package-0", "7\n");  // the same counter once more
  write("intel-rapl/enabled", "1\n");
  const auto monitor = open_powercap(folder_.string());
  ASSERT_NE(monitor, nullptr);
  EXPECT_EQ(monitor->energy_joules(), 0);
  write_zone("intel-rapl:0", "package-0", "950000\n");
  write_zone("intel-rapl:1", "package-1", "100005\n");
  EXPECT_DOUBLE_EQ(monitor->energy_joules().value(), 0.15);
  write_zone("intel-rapl:0", "package-0", "50000\n");  // past its end, 100,000 microjoules on
  EXPECT_DOUBLE_EQ(monitor->energy_joules().value(), 0.25);
  EXPECT_FALSE(monitor->state().clock_reasons);
}

TEST_F(KernelFolder, NoOrBrokenZonesAreNoError) {
  EXPECT_EQ(open_powercap(folder_.string()), nullptr);
  EXPECT_EQ(open_powercap(folder_.string() + "/none"), nullptr);
  write_zone("intel-rapl:0", "package-0", "7\n");
  for (const char* text : {"", "\n", "-5\n", "1e3\n", "12 34\n", "99999999999999999999\n",
                           "\x01\xff garbage", "2000000\n"}) {
    write_zone("intel-rapl:1", "package-1", text);
    EXPECT_EQ(open_powercap(folder_.string()), nullptr) << text;
  }
  for (const char* range : {"", "0\n", "-1\n", "x\n"}) {
    write_zone("intel-rapl:1", "package-1", "1\n", range);
    EXPECT_EQ(open_powercap(folder_.string()), nullptr) << range;
  }
  write_zone("intel-rapl:1", "package-1", "1\n");
  const auto monitor = open_powercap(folder_.string());
  ASSERT_NE(monitor, nullptr);
  write("intel-rapl:1/energy_uj", "garbage");
  EXPECT_FALSE(monitor->energy_joules());
  std::filesystem::remove_all(folder_ / "intel-rapl:1");
  EXPECT_FALSE(monitor->energy_joules());
  write_zone("intel-rapl:1", "package-1", "11\n");
  EXPECT_DOUBLE_EQ(monitor->energy_joules().value(), 1e-5);
}

TEST_F(KernelFolder, PeakOfTheProcess) {
  const ProcessMemory memory(folder_.string());
  EXPECT_FALSE(memory.reset_peak()) << "no clear_refs";
  EXPECT_FALSE(memory.peak_bytes());
  write("clear_refs", "");
  EXPECT_TRUE(memory.reset_peak());
  EXPECT_EQ(kernel_line((folder_ / "clear_refs").string()), "5");
  write("status", "Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 8 kB\n");
  EXPECT_EQ(memory.peak_bytes(), 1234 * 1024);
  for (const char* line : {"VmHWM:\n", "VmHWM: kB\n", "VmHWM:\t-4 kB\n", "VmHWM:\t4 MB\n",
                           "VmHWM:\t9223372036854775807 kB\n", "VmHWM:\t99999999999999999999 kB",
                           "\xff\x00\x01", ""}) {
    write("status", line);
    EXPECT_FALSE(memory.peak_bytes()) << line;
  }
}

// The real one, where Linux lets a process reset its own peak.
TEST(ProcessMemory, SeesAnAllocationThatIsGone) {
  constexpr size_t kBytes = size_t{64} << 20;
  const ProcessMemory memory;
  if (!memory.reset_peak()) GTEST_SKIP() << "clear_refs cannot be written here";
  const int64_t before = memory.peak_bytes().value();
  // Pages of the kernel's own: an allocator, above all a sanitizer's, may keep what it was given.
  void* used = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(used, MAP_FAILED);
  std::memset(used, 1, kBytes);
  ASSERT_EQ(munmap(used, kBytes), 0);
  const int64_t with = memory.peak_bytes().value();
  EXPECT_GE(with, before + static_cast<int64_t>(kBytes * 3 / 4));
  ASSERT_TRUE(memory.reset_peak());
  EXPECT_LT(memory.peak_bytes().value(), with - static_cast<int64_t>(kBytes / 2));
}

TEST_F(KernelFolder, OfABatchOnTheCpu) {
  const auto cpu = make_backend({.device = "cpu", .threads = 1});
  const TelemetrySources sources{.nvml_library = SKIPBENCH_FAKE_NVML,
                                 .powercap_folder = folder_.string(),
                                 .process_folder = folder_.string()};
  {
    BatchMeter meter(*cpu, sources);  // nothing there to ask
    meter.begin();
    const BatchUse use = meter.end();
    EXPECT_FALSE(use.energy_joules || use.peak_memory_bytes || use.state.sm_clock_mhz ||
                 use.state.foreign_processes);
    const CardDescription card = describe_card(*cpu, sources);
    EXPECT_TRUE(card.driver.empty() && card.uuid.empty() && !card.power_limit_watts);
    EXPECT_EQ(cpu->library_versions().cuda_runtime + cpu->library_versions().cublaslt, "");
  }
  write("clear_refs", "");
  write("status", "VmHWM:\t 10 kB\n");
  write_zone("intel-rapl:0", "package-0", "900000\n");
  BatchMeter meter(*cpu, sources);
  meter.begin();
  write_zone("intel-rapl:0", "package-0", "200000\n");
  const BatchUse use = meter.end();
  EXPECT_DOUBLE_EQ(use.energy_joules.value(), 0.3);
  EXPECT_EQ(use.peak_memory_bytes, 10240);
  EXPECT_FALSE(use.state.sm_clock_mhz) << "the CPU needs no NVML, whatever is there";
}

}  // namespace
}  // namespace skipbench
