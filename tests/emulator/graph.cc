// engine/cuda/graph.h for the emulated device: a recording is a list of calls.
#include "engine/cuda/graph.h"

#include "engine/base/error.h"
#include "engine/cuda/check.h"
#include "tests/emulator/runtime_api.h"

namespace skipbench::cuda {
namespace {

void replay(const emulator::RecordedWork& work) {
  for (const auto& call : work) call();
}

class RecordedGraph : public Graph {
 public:
  explicit RecordedGraph(emulator::RecordedWork work)
      : work_(std::make_shared<const emulator::RecordedWork>(std::move(work))) {}

  // What was queued outlives the graph, as on a GPU.
  void launch(cudaStream_t stream) override {
    CUDA_CHECK(emulator::launch_graph(stream, [work = work_] { replay(*work); }));
  }

 private:
  std::shared_ptr<const emulator::RecordedWork> work_;
};

}  // namespace

std::unique_ptr<Graph> record_graph(cudaStream_t stream, const std::function<void()>& queue) {
  return std::make_unique<RecordedGraph>(emulator::record(stream, queue));
}

void record_if(cudaStream_t stream, const int32_t* flag,
               const std::function<void(cudaStream_t stream)>& queue) {
  if (!emulator::is_recording(stream)) {
    throw Error({.what = "record_if outside of a recording", .hint = "the host decides there"});
  }
  emulator::enqueue(stream, [flag, work = emulator::record(stream, [&] { queue(stream); })] {
    if (*flag != 0) replay(work);
  });
}

}  // namespace skipbench::cuda
