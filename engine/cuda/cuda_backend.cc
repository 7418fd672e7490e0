#include "engine/cuda/cuda_backend.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/cuda/check.h"
#include "engine/cuda/errors.h"
#include "engine/cuda/gemm.h"
#include "engine/cuda/graph.h"
#include "engine/cuda/operations.h"
#include "engine/cuda/stream.h"
#include "fmt/format.h"

namespace skipbench::cuda {
namespace {

// Device memory that a backend holds. Its buffers may outlive it, and go on another thread.
struct HeldMemory {
  std::atomic<int64_t> bytes{0}, peak_bytes{0};

  void add(int64_t more) {
    const int64_t now = bytes += more;
    int64_t most = peak_bytes;
    while (now > most && !peak_bytes.compare_exchange_weak(most, now)) {
    }
  }
};

DeviceBuffer allocate_device(const std::shared_ptr<HeldMemory>& held, size_t bytes) {
  void* memory = nullptr;
  const cudaError_t code = cudaMalloc(&memory, std::max<size_t>(1, bytes));
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the error is reported here and must not show up again
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
    throw OutOfMemory({.what = fmt::format("out of device memory: asked for {} bytes, {} of {} are "
                                           "free",
                                           bytes, free_bytes, total_bytes),
                       .where = "cuda",
                       .hint = "try a smaller batch, fewer positions or smaller weights"},
                      static_cast<int64_t>(bytes), static_cast<int64_t>(free_bytes));
  }
  CUDA_CHECK(code);
  held->add(static_cast<int64_t>(bytes));
  // Waits for the device and frees: an operation that was queued may still use the memory.
  return DeviceBuffer(memory, [held, bytes](void* buffer) {
    cudaFree(buffer);
    held->bytes -= static_cast<int64_t>(bytes);
  });
}

// Empty where the runtime does not say.
std::string pci_bus_id_of(int device) {
  char text[32] = "";
  if (cudaDeviceGetPCIBusId(text, sizeof(text), device) == cudaSuccess) return text;
  cudaGetLastError();  // it must not show up in a later call
  return "";
}

// "12.4"; empty where the runtime does not say.
std::string runtime_version() {
  int version = 0;  // 1000 * major + 10 * minor
  if (cudaRuntimeGetVersion(&version) == cudaSuccess) {
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
  }
  cudaGetLastError();
  return "";
}

// Host memory that the device writes in place: pinned, at the same address on both sides.
DeviceBuffer allocate_pinned(size_t bytes) {
  void* memory = nullptr;
  CUDA_CHECK(cudaMallocHost(&memory, std::max<size_t>(1, bytes)));
  return DeviceBuffer(memory, [](void* pinned) { cudaFreeHost(pinned); });
}

class EventMark final : public Mark {
 public:
  explicit EventMark(cudaStream_t stream) : stream_(stream) {
    CUDA_CHECK(cudaEventCreate(&event_));
  }
  ~EventMark() override { cudaEventDestroy(event_); }
  EventMark(const EventMark&) = delete;
  EventMark& operator=(const EventMark&) = delete;

  void set() override { CUDA_CHECK(cudaEventRecord(event_, stream_)); }
  void wait() override { CUDA_CHECK(cudaEventSynchronize(event_)); }
  double microseconds_since(const Mark& earlier) const override {
    float milliseconds = 0;
    CUDA_CHECK(
        cudaEventElapsedTime(&milliseconds, static_cast<const EventMark&>(earlier).event_, event_));
    return 1e3 * static_cast<double>(milliseconds);
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t event_ = nullptr;
};

class GraphRecording final : public Recording {
 public:
  GraphRecording(const Context& context, std::unique_ptr<Graph> graph)
      : context_(context), moves_(context.moves()), graph_(std::move(graph)) {}

  bool replay() override {
    if (context_.moves() != moves_) return false;
    graph_->launch(context_.stream);
    return true;
  }

 private:
  const Context& context_;
  int64_t moves_;
  std::unique_ptr<Graph> graph_;
};

cudaDeviceProp first_device() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0) {
    cudaGetLastError();
    throw Error(
        {.what = fmt::format("no CUDA device: {}",
                             code == cudaSuccess ? "none is visible" : cudaGetErrorString(code)),
         .where = "--device cuda",
         .hint = "use --device cpu, or check nvidia-smi and CUDA_VISIBLE_DEVICES"});
  }
  CUDA_CHECK(cudaSetDevice(0));
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
  return properties;
}

class CudaBackend final : public Backend {
 public:
  CudaBackend(const cudaDeviceProp& properties, DType dtype)
      : device_name_(properties.name),
        architecture_(fmt::format("sm_{}{}", properties.major, properties.minor)),
        dtype_(dtype),
        pci_bus_id_(pci_bus_id_of(0)),
        context_([held = held_](size_t bytes) { return allocate_device(held, bytes); },
                 stream_.get()) {
    context_.multiprocessors = properties.multiProcessorCount;
    context_.cache_bytes = properties.l2CacheSize;
    context_.shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
  }
  ~CudaBackend() override { cudaStreamSynchronize(stream_.get()); }

  std::string name() const override { return "cuda"; }
  std::string device_name() const override { return device_name_; }
  DType activation_type() const override { return dtype_; }
  std::string instruction_set() const override { return architecture_; }
  std::string pci_bus_id() const override { return pci_bus_id_; }
  LibraryVersions library_versions() const override {
    return {.cuda_runtime = runtime_version(), .cublaslt = gemm_library_version()};
  }

  DeviceBuffer allocate(size_t bytes) override { return allocate_device(held_, bytes); }
  void upload(void* device, const void* host, size_t bytes) override {
    // From pageable memory: returns once the host's bytes may change.
    if (bytes > 0) copy(device, host, bytes, cudaMemcpyHostToDevice);
  }
  void download(void* host, const void* device, size_t bytes) override {
    if (bytes > 0) copy(host, device, bytes, cudaMemcpyDeviceToHost);
    synchronise();
  }
  void fill_zero(void* device, size_t bytes) override {
    if (bytes > 0) CUDA_CHECK(cudaMemsetAsync(device, 0, bytes, stream_.get()));
  }
  void synchronise() override { CUDA_CHECK(cudaStreamSynchronize(stream_.get())); }
  // Called when a model goes, also because the device is lost: throws nothing.
  void forget_weights() override {
    cudaStreamSynchronize(stream_.get());
    context_.weights.clear();
  }
  std::optional<int64_t> peak_memory_bytes() const override { return held_->peak_bytes; }
  void reset_peak_memory() override { held_->peak_bytes = held_->bytes.load(); }

  bool is_asynchronous() const override { return true; }
  bool makes_random_weights() const override { return true; }
  DeviceBuffer allocate_shared(size_t bytes) override { return allocate_pinned(bytes); }
  std::unique_ptr<Mark> make_mark() override { return std::make_unique<EventMark>(stream_.get()); }
  std::unique_ptr<Recording> record(const std::function<void()>& queue) override {
    std::unique_ptr<Graph> graph;
    is_recording_ = true;
    try {
      graph = record_graph(stream_.get(), queue);
    } catch (...) {
      is_recording_ = false;
      throw;
    }
    is_recording_ = false;
    return std::make_unique<GraphRecording>(context_, std::move(graph));
  }
  bool is_recording() const override { return is_recording_; }
  void record_if(const int32_t* flag, const std::function<void()>& queue) override {
    const cudaStream_t outer = context_.stream;
    try {
      cuda::record_if(outer, flag, [&](cudaStream_t body) {
        context_.stream = body;
        queue();
      });
    } catch (...) {
      context_.stream = outer;
      throw;
    }
    context_.stream = outer;
  }

  void embed(const EmbedArgs& args) override { cuda::embed(context_, args); }
  void norm(const NormArgs& args) override { cuda::norm(context_, args); }
  void linear(const LinearArgs& args) override { cuda::linear(context_, args); }
  void append_kv(const AppendKvArgs& args) override { cuda::append_kv(context_, args); }
  void attend(const AttendArgs& args) override { cuda::attend(context_, args); }
  void gather_rows(const GatherRowsArgs& args) override { cuda::gather_rows(context_, args); }
  void next_token(const NextTokenArgs& args) override { cuda::next_token(context_, args); }
  void sample(const SampleArgs& args) override { cuda::sample(context_, args); }
  void log_prob(const LogProbArgs& args) override { cuda::log_prob(context_, args); }
  void cosine(const CosineArgs& args) override { cuda::cosine(context_, args); }
  void scale(const ScaleArgs& args) override { cuda::scale(context_, args); }
  void advance(const AdvanceArgs& args) override { cuda::advance(context_, args); }
  void begin_exits(const BeginExitsArgs& args) override { cuda::begin_exits(context_, args); }
  void start_exit_clock(const ExitState& state) override {
    cuda::start_exit_clock(context_, state);
  }
  void test_exits(const TestExitsArgs& args) override { cuda::test_exits(context_, args); }
  void copy_rows_if(const CopyRowsArgs& args) override { cuda::copy_rows_if(context_, args); }

  double peak_read_bytes_per_second() override {
    if (peak_read_ == 0) peak_read_ = measure_read_bytes_per_second(context_);
    return peak_read_;
  }
  double peak_flops_per_second() override {
    if (peak_flops_ == 0) peak_flops_ = measure_flops_per_second(context_, dtype_);
    return peak_flops_;
  }

 private:
  void copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, kind, stream_.get()));
  }

  std::string device_name_;
  std::string architecture_;
  DType dtype_;
  std::string pci_bus_id_;
  std::shared_ptr<HeldMemory> held_ = std::make_shared<HeldMemory>();
  Stream stream_;  // before what is freed on it
  Context context_;
  bool is_recording_ = false;
  double peak_read_ = 0;
  double peak_flops_ = 0;
};

}  // namespace
}  // namespace skipbench::cuda

namespace skipbench {

std::unique_ptr<Backend> make_cuda_backend(const DeviceSpec& spec) {
  if (is_quantised(spec.dtype)) {
    throw Error({.what = "activations cannot have this type",
                 .where = "--dtype",
                 .expected = "f32, f16 or bf16",
                 .got = std::string(dtype_name(spec.dtype))});
  }
  return std::make_unique<cuda::CudaBackend>(cuda::first_device(), spec.dtype);
}

}  // namespace skipbench
