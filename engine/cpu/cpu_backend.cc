#include "engine/cpu/cpu_backend.h"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <thread>

#include "engine/base/error.h"
#include "engine/cpu/operations.h"
#include "fmt/format.h"

namespace skipbench {
namespace {

constexpr int kMaxThreads = 1024;

// Processors that this process may run on (a container may give it fewer than the machine has).
int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return std::max(1u, std::thread::hardware_concurrency());
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

int checked_threads(const DeviceSpec& spec) {
  if (spec.threads < 0 || spec.threads > kMaxThreads) {
    throw Error({.what = "number of threads out of range",
                 .where = "--threads",
                 .expected = fmt::format("0 (all processors) to {}", kMaxThreads),
                 .got = fmt::format("{}", spec.threads)});
  }
  return spec.threads == 0 ? available_processors() : spec.threads;
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(DType dtype, int threads) : dtype_(dtype), context_(threads) {}

  std::string name() const override { return "cpu"; }
  std::string device_name() const override { return processor_name(); }
  DType activation_type() const override { return dtype_; }
  int threads() const override { return context_.pool.threads(); }
  std::string instruction_set() const override { return cpu::instruction_set(); }

  DeviceBuffer allocate(size_t bytes) override {
    try {
      return DeviceBuffer(cpu::aligned_memory(bytes).release(), cpu::FreeDeleter());
    } catch (const std::bad_alloc&) {
      throw OutOfMemory({.what = fmt::format("out of memory: no {} bytes to be had", bytes),
                         .where = "cpu",
                         .hint = "try a smaller batch or fewer positions"},
                        static_cast<int64_t>(bytes));
    }
  }
  void upload(void* device, const void* host, size_t bytes) override { copy(device, host, bytes); }
  void download(void* host, const void* device, size_t bytes) override {
    copy(host, device, bytes);
  }
  void fill_zero(void* device, size_t bytes) override {
    if (bytes > 0) std::memset(device, 0, bytes);
  }

  void embed(const EmbedArgs& args) override { cpu::embed(context_, args); }
  void norm(const NormArgs& args) override { cpu::norm(context_, args); }
  void linear(const LinearArgs& args) override { cpu::linear(context_, args); }
  void append_kv(const AppendKvArgs& args) override { cpu::append_kv(context_, args); }
  void attend(const AttendArgs& args) override { cpu::attend(context_, args); }
  void gather_rows(const GatherRowsArgs& args) override { cpu::gather_rows(context_, args); }
  void next_token(const NextTokenArgs& args) override { cpu::next_token(context_, args); }
  void sample(const SampleArgs& args) override { cpu::sample(context_, args); }
  void log_prob(const LogProbArgs& args) override { cpu::log_prob(context_, args); }
  void cosine(const CosineArgs& args) override { cpu::cosine(context_, args); }
  void scale(const ScaleArgs& args) override { cpu::scale(context_, args); }
  void advance(const AdvanceArgs& args) override { cpu::advance(context_, args); }
  void begin_exits(const BeginExitsArgs& args) override { cpu::begin_exits(context_, args); }
  void start_exit_clock(const ExitState& state) override { cpu::start_exit_clock(context_, state); }
  void test_exits(const TestExitsArgs& args) override { cpu::test_exits(context_, args); }
  void copy_rows_if(const CopyRowsArgs& args) override { cpu::copy_rows_if(context_, args); }

  double peak_read_bytes_per_second() override {
    if (peak_read_ == 0) peak_read_ = cpu::measure_read_bytes_per_second(context_);
    return peak_read_;
  }
  double peak_flops_per_second() override {
    if (peak_flops_ == 0) peak_flops_ = cpu::measure_flops_per_second(context_);
    return peak_flops_;
  }

 private:
  static void copy(void* to, const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }

  DType dtype_;
  cpu::Context context_;
  double peak_read_ = 0;
  double peak_flops_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const DeviceSpec& spec) {
  if (is_quantised(spec.dtype)) {
    throw Error({.what = "activations cannot have this type",
                 .where = "--dtype",
                 .expected = "f32, f16 or bf16",
                 .got = std::string(dtype_name(spec.dtype))});
  }
  return std::make_unique<CpuBackend>(spec.dtype, checked_threads(spec));
}

}  // namespace skipbench
