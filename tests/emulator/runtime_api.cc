#include "tests/emulator/runtime_api.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "tests/emulator/device_state.h"

namespace skipbench::emulator {

// Never destroyed: buffers in static objects may be freed after main.
Device& device() {
  static auto* the_device = new Device;
  return *the_device;
}

cudaError_t fail(cudaError_t code) {
  device().last_error = code;
  return code;
}

namespace {

constexpr size_t kQuarantineBytes = 64 << 20;

void require_device_memory(const void* address, size_t bytes, const char* what) {
  if (bytes == 0) return;
  auto& allocations = device().allocations;
  const auto* begin = static_cast<const std::byte*>(address);
  auto after = allocations.upper_bound(begin);
  if (after != allocations.begin()) {
    const auto& [start, memory] = *std::prev(after);
    if (begin + bytes <= start + memory->bytes()) return;
  }
  throw EmulatorError(
      fmt::format("emulated device: {} of {} bytes at {} is not inside an "
                  "allocation of device memory",
                  what, bytes, fmt::ptr(address)));
}

void copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) {
    require_device_memory(to, bytes, "copy to device memory");
  }
  if (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) {
    require_device_memory(from, bytes, "copy from device memory");
  }
  std::memmove(to, from, bytes);
}

void check(const GuardedMemory& memory) {
  if (memory.guards_intact()) return;
  throw EmulatorError(
      fmt::format("emulated device: wrote outside of an allocation of {} bytes", memory.bytes()));
}

bool is_pinned(const void* address) {
  const auto& pinned = device().pinned;
  const auto* at = static_cast<const std::byte*>(address);
  const auto after = pinned.upper_bound(at);
  return after != pinned.begin() && at < std::prev(after)->first + std::prev(after)->second;
}

// False if somebody wrote into it after it was freed.
bool drop_oldest_freed() {
  const std::unique_ptr<GuardedMemory> memory = std::move(device().freed.front());
  device().freed.pop_front();
  device().freed_bytes -= memory->bytes();
  return memory->still_untouched();
}

}  // namespace

const Counters& counters() { return device().counters; }

void lose_device_after(int64_t launches, cudaError_t code) {
  device().planted_error = code;
  device().launches_until_lost = launches;
}
void restore_device() { device().sticky_error = device().planted_error = cudaSuccess; }

void set_memory_bytes(size_t bytes) { device().memory_bytes = bytes; }
size_t memory_in_use() { return device().used_bytes; }

void check_allocations() {
  for (const auto& [address, memory] : device().allocations) check(*memory);
}

void check_freed_memory() {
  for (const auto& memory : device().freed) {
    if (memory->still_untouched()) continue;
    throw EmulatorError(
        fmt::format("emulated device: wrote into {} bytes after they were freed", memory->bytes()));
  }
}

}  // namespace skipbench::emulator

using namespace skipbench::emulator;

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    default:
      return "cudaError";
  }
}

const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidValue:
      return "invalid argument";
    default:
      return "of the emulated device";
  }
}

// A sticky error stays, whoever asks for it.
cudaError_t cudaGetLastError() { return std::exchange(device().last_error, device().sticky_error); }
cudaError_t cudaPeekAtLastError() { return device().last_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* index) {
  *index = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int index) {
  return index == 0 ? cudaSuccess : fail(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "emulated CUDA device");
  properties->totalGlobalMem = device().memory_bytes;
  properties->sharedMemPerBlock = kSharedBytes;
  properties->sharedMemPerBlockOptin = kSharedBytesOptIn;
  // Few, so that work that is spread over the multiprocessors is spread thinly here.
  properties->multiProcessorCount = 4;
  properties->l2CacheSize = 1 << 16;
  properties->major = 9;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int) {
  constexpr char kNoCard[] = "0000:00:00.0";
  if (length < static_cast<int>(sizeof(kNoCard))) return fail(cudaErrorInvalidValue);
  std::memcpy(text, kNoCard, sizeof(kNoCard));
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int index) {
  cudaDeviceProp properties;
  cudaGetDeviceProperties(&properties, index);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrL2CacheSize:
      *value = properties.l2CacheSize;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  ++device().counters.queue_waits;
  if (device().sticky_error != cudaSuccess) return fail(device().sticky_error);
  run_all_queued();
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaMalloc(void** address, size_t bytes) {
  Device& on = device();
  *address = nullptr;
  if (on.sticky_error != cudaSuccess) return fail(on.sticky_error);
  if (is_any_recording()) return fail(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  ++on.counters.allocations;
  if (bytes > on.memory_bytes || on.used_bytes > on.memory_bytes - bytes) {
    return fail(cudaErrorMemoryAllocation);
  }
  auto memory = std::make_unique<GuardedMemory>(bytes);
  *address = memory->data();
  on.used_bytes += bytes;
  on.allocations.emplace(static_cast<const std::byte*>(memory->data()), std::move(memory));
  return cudaSuccess;
}

// Waits for all that is queued, as on a GPU; what fails there is seen by the next call that waits.
// Freed memory is kept for a while: whoever writes there is found out, whoever reads gets NaN.
cudaError_t cudaFree(void* address) {
  Device& on = device();
  if (address == nullptr)
    return on.sticky_error == cudaSuccess ? cudaSuccess : fail(on.sticky_error);
  if (is_any_recording()) return fail(cudaErrorStreamCaptureUnsupported);
  ++on.counters.frees;
  if (on.sticky_error == cudaSuccess) run_all_queued();
  const auto found = on.allocations.find(static_cast<const std::byte*>(address));
  if (found == on.allocations.end()) return fail(cudaErrorInvalidValue);
  std::unique_ptr<GuardedMemory> memory = std::move(found->second);
  on.allocations.erase(found);
  on.used_bytes -= memory->bytes();
  on.freed_bytes += memory->bytes();
  bool intact = memory->guards_intact();
  memory->retire();
  on.freed.push_back(std::move(memory));
  while (on.freed_bytes > kQuarantineBytes) intact &= drop_oldest_freed();
  return intact ? cudaSuccess : fail(cudaErrorIllegalAddress);
}

cudaError_t cudaMallocAsync(void** address, size_t bytes, cudaStream_t) {
  return cudaMalloc(address, bytes);
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t) { return cudaFree(address); }

cudaError_t cudaMallocHost(void** address, size_t bytes) {
  if (is_any_recording()) return fail(cudaErrorStreamCaptureUnsupported);
  *address = std::malloc(bytes);
  if (*address == nullptr) return fail(cudaErrorMemoryAllocation);
  ++device().counters.allocations;
  device().pinned[static_cast<const std::byte*>(*address)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned) {
  return cudaMallocHost(address, bytes);
}
cudaError_t cudaFreeHost(void* address) {
  if (is_any_recording()) return fail(cudaErrorStreamCaptureUnsupported);
  if (device().sticky_error == cudaSuccess) run_all_queued();
  device().pinned.erase(static_cast<const std::byte*>(address));
  std::free(address);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *total_bytes = device().memory_bytes;
  *free_bytes = device().memory_bytes - std::min(device().memory_bytes, device().used_bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  copy(to, from, bytes, kind);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (device().sticky_error != cudaSuccess) return fail(device().sticky_error);
  const bool from_host = kind == cudaMemcpyHostToDevice && !is_pinned(from);
  const bool to_host = kind == cudaMemcpyDeviceToHost && !is_pinned(to);
  if (is_recording(stream) || (!from_host && !to_host)) {
    enqueue(stream, [=] { copy(to, from, bytes, kind); });
    return cudaSuccess;
  }
  // Pageable memory: staged before the call returns, or copied to before it does.
  ++device().counters.queue_waits;
  if (from_host) {
    const auto* begin = static_cast<const std::byte*>(from);
    enqueue(stream, [=, staged = std::vector<std::byte>(begin, begin + bytes)] {
      copy(to, staged.data(), bytes, kind);
    });
    return cudaSuccess;
  }
  run_queued(stream_of(stream));
  copy(to, from, bytes, kind);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* address, int value, size_t bytes) {
  return cudaMemsetAsync(address, value, bytes, nullptr);
}

cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t stream) {
  enqueue(stream, [=] {
    require_device_memory(address, bytes, "memset");
    std::memset(address, value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  const auto bytes = static_cast<size_t>(value);
  if (value < 0 || bytes > kSharedBytesOptIn) return fail(cudaErrorInvalidValue);
  device().shared_bytes_allowed[kernel] = bytes;
  return cudaSuccess;
}
