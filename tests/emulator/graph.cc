// engine/cuda/graph.h for the emulated device: a recording is a list of calls.
#include "engine/cuda/graph.h"

#include "engine/base/error.h"
#include "tests/emulator/runtime_api.h"

namespace skipbench::cuda {
namespace {

void replay(const emulator::RecordedWork& work) {
  for (const auto& call : work) call();
}

class RecordedGraph : public Graph {
 public:
  explicit RecordedGraph(emulator::RecordedWork work) : work_(std::move(work)) {}

  void launch(cudaStream_t stream) override {
    emulator::enqueue(stream, [this] { replay(work_); });
  }

 private:
  emulator::RecordedWork work_;
};

}  // namespace

std::unique_ptr<Graph> record_graph(cudaStream_t stream, const std::function<void()>& queue) {
  return std::make_unique<RecordedGraph>(emulator::record(stream, queue));
}

void record_if(cudaStream_t stream, const int32_t* flag, const std::function<void()>& queue) {
  if (!emulator::is_recording(stream)) {
    throw Error({.what = "record_if outside of a recording", .hint = "the host decides there"});
  }
  emulator::enqueue(stream, [flag, work = emulator::record(stream, queue)] {
    if (*flag != 0) replay(work);
  });
}

}  // namespace skipbench::cuda
