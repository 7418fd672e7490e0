// graph.h on a GPU: stream capture, and conditional nodes for predicates (CUDA Programming Guide,
// "CUDA Graphs", "Conditional Graph Nodes").
#include "engine/base/error.h"
#include "engine/cuda/graph.h"
#include "engine/cuda/launch.h"
#include "engine/cuda/stream.h"

namespace skipbench::cuda {
namespace {

class CapturedGraph : public Graph {
 public:
  explicit CapturedGraph(cudaGraph_t graph) {
    const cudaError_t code = cudaGraphInstantiate(&executable_, graph);
    cudaGraphDestroy(graph);
    CUDA_CHECK(code);
  }
  // Work that is under way keeps what it needs.
  ~CapturedGraph() override { cudaGraphExecDestroy(executable_); }

  void launch(cudaStream_t stream) override { CUDA_CHECK(cudaGraphLaunch(executable_, stream)); }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

// Ends the capture in any case: a stream that still captures can do nothing else. A graph that was
// begun elsewhere (the body of a node) belongs to its owner.
template <typename Queue>
cudaGraph_t capture_rest(cudaStream_t stream, bool owned, const Queue& queue) {
  cudaGraph_t graph = nullptr;
  try {
    queue();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);
    if (owned && graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();  // what went wrong is in the exception
    throw;
  }
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  return graph;
}

struct CapturePoint {
  cudaGraph_t graph = nullptr;
  const cudaGraphNode_t* last = nullptr;
  size_t count = 0;
};

CapturePoint capture_point(cudaStream_t stream) {
  CapturePoint point;
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaGraphEdgeData* edges = nullptr;
  CUDA_CHECK(cudaStreamGetCaptureInfo(stream, &status, nullptr, &point.graph, &point.last, &edges,
                                      &point.count));
  if (status != cudaStreamCaptureStatusActive) {
    throw Error({.what = "record_if outside of a recording",
                 .where = "cuda",
                 .expected = "",
                 .got = "",
                 .hint = "the host decides there"});
  }
  return point;
}

__global__ void set_condition_kernel(cudaGraphConditionalHandle handle, const int32_t* flag) {
  cudaGraphSetConditional(handle, *flag != 0 ? 1 : 0);
}

}  // namespace

std::unique_ptr<Graph> record_graph(cudaStream_t stream, const std::function<void()>& queue) {
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  return std::make_unique<CapturedGraph>(capture_rest(stream, true, queue));
}

void record_if(cudaStream_t stream, const int32_t* flag,
               const std::function<void(cudaStream_t stream)>& queue) {
  cudaGraphConditionalHandle handle{};
  CUDA_CHECK(cudaGraphConditionalHandleCreate(&handle, capture_point(stream).graph, 0, 0));
  launch(set_condition_kernel, {.grid = dim3(1), .block = dim3(1)}, stream, handle, flag);

  const CapturePoint before = capture_point(stream);
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeConditional;
  params.conditional.handle = handle;
  params.conditional.type = cudaGraphCondTypeIf;
  params.conditional.size = 1;
  cudaGraphNode_t node = nullptr;
  CUDA_CHECK(cudaGraphAddNode(&node, before.graph, before.last, nullptr, before.count, &params));
  CUDA_CHECK(cudaStreamUpdateCaptureDependencies(stream, &node, nullptr, 1,
                                                 cudaStreamSetCaptureDependencies));

  const Stream body;  // captured on; nothing ever runs there
  CUDA_CHECK(cudaStreamBeginCaptureToGraph(body.get(), params.conditional.phGraph_out[0], nullptr,
                                           nullptr, 0, cudaStreamCaptureModeThreadLocal));
  capture_rest(body.get(), false, [&] { queue(body.get()); });
}

}  // namespace skipbench::cuda
