// A recorded list of launches, some of them under a predicate that the device decides. On a GPU it
// becomes a CUDA graph with conditional nodes (graph_capture.cu); the emulated device replays it as
// calls (tests/emulator/graph.cc).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace skipbench::cuda {

class Graph {
 public:
  virtual ~Graph() = default;

  // Queues the recorded work on `stream`. Addresses and arguments are those of the recording.
  virtual void launch(cudaStream_t stream) = 0;
};

// Runs `queue`, which queues work on `stream`, and records that work instead of doing it. `queue`
// may neither allocate nor wait. Throws Error where something cannot be recorded.
std::unique_ptr<Graph> record_graph(cudaStream_t stream, const std::function<void()>& queue);

// Inside record_graph on the same stream: what `queue` queues on the stream that it is given runs
// only where *flag (device memory) is not 0 when the device comes to it. May be nested, on the
// stream that the outer one gives. Outside of a recording it throws Error: the host decides there.
void record_if(cudaStream_t stream, const int32_t* flag,
               const std::function<void(cudaStream_t stream)>& queue);

}  // namespace skipbench::cuda
