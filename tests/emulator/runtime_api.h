// The part of CUDA's runtime API that the engine's glue uses, for the emulated device. Work on the
// default stream runs as it is queued; on a stream of its own it runs as late as CUDA allows, when
// the host waits for it, so that a host that does not wait sees nothing. While a graph is being
// recorded on its stream it is recorded.
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/emulator/cuda_emulator.h"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorECCUncorrectable = 214,
  cudaErrorContained = 226,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchTimeout = 702,
  cudaErrorAssert = 710,
  cudaErrorHardwareStackError = 714,
  cudaErrorIllegalInstruction = 715,
  cudaErrorMisalignedAddress = 716,
  cudaErrorInvalidAddressSpace = 717,
  cudaErrorInvalidPc = 718,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorUnknown = 999
};

enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};

enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize,
  cudaFuncAttributePreferredSharedMemoryCarveout
};

enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrL2CacheSize,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor
};

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  size_t sharedMemPerBlock;
  size_t sharedMemPerBlockOptin;
  int multiProcessorCount;
  int l2CacheSize;
  int major;
  int minor;
};

namespace skipbench::emulator {
class Stream;
class Event;
}  // namespace skipbench::emulator
using cudaStream_t = skipbench::emulator::Stream*;
using cudaEvent_t = skipbench::emulator::Event*;

constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDefault = 0;
constexpr unsigned cudaEventDisableTiming = 2;
constexpr unsigned cudaHostAllocDefault = 0;

const char* cudaGetErrorName(cudaError_t code);
const char* cudaGetErrorString(cudaError_t code);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
// An address that no card has: NVML, where a machine has it, knows nothing of the emulated device.
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);

cudaError_t cudaMalloc(void** address, size_t bytes);
template <typename T>
cudaError_t cudaMalloc(T** address, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(address), bytes);
}
cudaError_t cudaFree(void* address);
cudaError_t cudaMallocAsync(void** address, size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream);
cudaError_t cudaMallocHost(void** address, size_t bytes);
template <typename T>
cudaError_t cudaMallocHost(T** address, size_t bytes) {
  return cudaMallocHost(reinterpret_cast<void**>(address), bytes);
}
cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* address);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void* address, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t stream = nullptr);

cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);

cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);

enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization };

struct cudaLaunchAttributeValue {
  int programmaticStreamSerializationAllowed;
};

struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

namespace skipbench::emulator {

// Queues `work`, or records it while a graph is being recorded on `stream`.
void enqueue(cudaStream_t stream, std::function<void()> work);
bool is_recording(cudaStream_t stream);

// Work recorded instead of done: `queue` runs with `stream` recording, its work is returned.
using RecordedWork = std::vector<std::function<void()>>;
RecordedWork record(cudaStream_t stream, const std::function<void()>& queue);

// Checks what a GPU would refuse; then queues the grid.
cudaError_t launch_kernel(const void* kernel, const cudaLaunchConfig_t& config,
                          std::function<void()> body);

// Queues a recorded graph.
cudaError_t launch_graph(cudaStream_t stream, std::function<void()> work);

// What a step should have none of, counted since the process began.
struct Counters {
  int64_t launches = 0;  // of kernels, outside of graphs
  int64_t graph_launches = 0;
  int64_t grids = 0;  // that ran, graphs' included
  int64_t allocations = 0;
  int64_t frees = 0;
  int64_t queue_waits =
      0;  // for all that was queued: synchronise, copies from and to pageable memory
  int64_t event_waits = 0;  // for one point of the queue
};
const Counters& counters();

// Plants a sticky error: the launch after `launches` more, and every call after it, fails with
// `code`, until restore_device().
void lose_device_after(int64_t launches, cudaError_t code);
void restore_device();

// How much device memory there is (default 16 GiB), for tests of running out of it.
void set_memory_bytes(size_t bytes);
size_t memory_in_use();

// Throw EmulatorError if bytes around an allocation, or in freed memory, were written. The first is
// called after each launch.
void check_allocations();
void check_freed_memory();

}  // namespace skipbench::emulator

template <typename... Params, typename... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...),
                               Args&&... args) {
  // Arguments are converted to the parameters' types and copied, as a launch does.
  std::tuple<std::decay_t<Params>...> copies(std::forward<Args>(args)...);
  return skipbench::emulator::launch_kernel(
      reinterpret_cast<const void*>(kernel), *config,
      [kernel, copies = std::move(copies)] { std::apply(kernel, copies); });
}
