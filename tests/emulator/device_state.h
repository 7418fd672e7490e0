// What the emulated runtime keeps: memory, streams, events, counters. For its own files.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "tests/emulator/guarded_memory.h"
#include "tests/emulator/runtime_api.h"

namespace skipbench::emulator {

// What a recent GPU has (CUDA C++ Programming Guide, "Compute Capabilities", 9.0).
constexpr size_t kSharedBytes = 48 << 10;
constexpr size_t kSharedBytesOptIn = 99 << 10;  // sm_86 and sm_89, the least from sm_80 on

class Stream {
 public:
  explicit Stream(bool lazy) : is_lazy(lazy) {}

  const bool is_lazy;                 // work waits for the host to wait
  RecordedWork* recording = nullptr;  // null: nothing is being recorded
  std::deque<std::function<void()>> queued;
};

class Event {
 public:
  std::chrono::steady_clock::time_point when;
  Stream* stream = nullptr;      // that it waits in; null: it has passed, or was never recorded
  int64_t records = 0;           // the newest counts
  std::shared_ptr<Event> owner;  // of itself; records that are queued outlive its destruction
};

struct Device {
  std::map<const std::byte*, std::unique_ptr<GuardedMemory>> allocations;  // by address
  std::deque<std::unique_ptr<GuardedMemory>> freed;                        // oldest first
  size_t freed_bytes = 0;
  size_t used_bytes = 0;
  size_t memory_bytes = size_t{16} << 30;
  std::map<const void*, size_t> shared_bytes_allowed;  // per kernel
  Stream default_stream{/*lazy=*/false};
  std::set<Stream*> streams;
  std::map<const std::byte*, size_t> pinned;  // host memory, by address
  Counters counters;
  cudaError_t last_error = cudaSuccess;
  cudaError_t sticky_error = cudaSuccess;
  cudaError_t planted_error = cudaSuccess;
  int64_t launches_until_lost = 0;
};

Device& device();

// Notes the error for cudaGetLastError, and returns it.
cudaError_t fail(cudaError_t code);

Stream& stream_of(cudaStream_t stream);  // null: the default stream

// Runs what is queued until `done`. Work that fails takes the rest of its stream with it.
void run_queued(
    Stream& stream, const std::function<bool()>& done = [] { return false; });
void run_all_queued();

// Whether any stream records: nothing may be allocated or freed meanwhile.
bool is_any_recording();

}  // namespace skipbench::emulator
