// Streams, events and launches of the emulated device: what is queued, and when it runs.
#include <algorithm>
#include <chrono>
#include <utility>

#include "tests/emulator/device_state.h"

namespace skipbench::emulator {

Stream& stream_of(cudaStream_t stream) {
  return stream == nullptr ? device().default_stream : *stream;
}

void run_queued(Stream& stream, const std::function<bool()>& done) {
  while (!stream.queued.empty() && !done()) {
    const std::function<void()> work = std::move(stream.queued.front());
    stream.queued.pop_front();
    try {
      work();
    } catch (...) {
      stream.queued.clear();
      throw;
    }
  }
}

void run_all_queued() {
  for (Stream* stream : device().streams) run_queued(*stream);
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
  if (in_kernel()) throw EmulatorError("emulated device: host call from a kernel");
  Stream& target = stream_of(stream);
  if (target.recording != nullptr) {
    target.recording->push_back(std::move(work));
  } else if (target.is_lazy) {
    target.queued.push_back(std::move(work));
  } else {
    work();
  }
}

bool is_recording(cudaStream_t stream) { return stream_of(stream).recording != nullptr; }

bool is_any_recording() {
  const Device& on = device();
  return on.default_stream.recording != nullptr ||
         std::any_of(on.streams.begin(), on.streams.end(),
                     [](const Stream* stream) { return stream->recording != nullptr; });
}

RecordedWork record(cudaStream_t stream, const std::function<void()>& queue) {
  RecordedWork work;
  Stream& target = stream_of(stream);
  RecordedWork* outer = target.recording;
  target.recording = &work;
  try {
    queue();
  } catch (...) {
    target.recording = outer;
    throw;
  }
  target.recording = outer;
  return work;
}

cudaError_t launch_kernel(const void* kernel, const cudaLaunchConfig_t& config,
                          std::function<void()> body) {
  const dim3 grid = config.gridDim;
  const dim3 block = config.blockDim;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    return fail(cudaErrorInvalidConfiguration);
  }
  size_t allowed = kSharedBytes;
  const auto found = device().shared_bytes_allowed.find(kernel);
  if (found != device().shared_bytes_allowed.end()) allowed = std::max(allowed, found->second);
  if (config.dynamicSmemBytes > allowed) return fail(cudaErrorInvalidValue);
  Device& on = device();
  if (on.planted_error != cudaSuccess && on.launches_until_lost-- <= 0) {
    on.sticky_error = std::exchange(on.planted_error, cudaSuccess);
  }
  if (on.sticky_error != cudaSuccess) return fail(on.sticky_error);
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id != cudaLaunchAttributeProgrammaticStreamSerialization ||
        attribute.val.programmaticStreamSerializationAllowed == 0) {
      continue;
    }
    body = [kernel_body = std::move(body)] {
      kernel_body();
      check_waited_for_previous();
    };
  }
  if (!is_recording(config.stream)) ++on.counters.launches;
  enqueue(config.stream, [grid, block, bytes = config.dynamicSmemBytes, body = std::move(body)] {
    ++device().counters.grids;
    run_grid(grid, block, bytes, body);
    check_allocations();
  });
  return cudaSuccess;
}

cudaError_t launch_graph(cudaStream_t stream, std::function<void()> work) {
  if (device().sticky_error != cudaSuccess) return fail(device().sticky_error);
  ++device().counters.graph_launches;
  enqueue(stream, std::move(work));
  return cudaSuccess;
}

}  // namespace skipbench::emulator

using namespace skipbench::emulator;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = new Stream(/*lazy=*/true);
  device().streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return cudaStreamCreate(stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (device().sticky_error == cudaSuccess) run_queued(*stream);
  device().streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (device().sticky_error != cudaSuccess) return fail(device().sticky_error);
  if (is_recording(stream)) return fail(cudaErrorStreamCaptureUnsupported);
  ++device().counters.queue_waits;
  run_queued(stream_of(stream));
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  auto owner = std::make_shared<Event>();
  *event = owner.get();
  (*event)->owner = std::move(owner);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::shared_ptr<Event> owner = std::move(event->owner);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (device().sticky_error != cudaSuccess) return fail(device().sticky_error);
  event->stream = &stream_of(stream);
  enqueue(stream, [event = event->owner, record = ++event->records] {
    event->when = std::chrono::steady_clock::now();
    if (record == event->records) event->stream = nullptr;
  });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (device().sticky_error != cudaSuccess) return fail(device().sticky_error);
  ++device().counters.event_waits;
  if (event->stream != nullptr) {
    run_queued(*event->stream, [event] { return event->stream == nullptr; });
  }
  return cudaSuccess;
}
// Each time that it is asked the device does a little more.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->stream == nullptr) return cudaSuccess;
  run_queued(*event->stream, [once = false]() mutable { return std::exchange(once, true); });
  return event->stream == nullptr ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (begin->stream != nullptr || end->stream != nullptr) return fail(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(end->when - begin->when).count();
  return cudaSuccess;
}
