// The CUDA operations, one file each, the same names as in engine/cpu; CudaBackend hands its calls
// on to them. Argument structs and their meaning are those of engine/backend.h.
//
// Law of this folder: nothing here waits for the device, and nothing allocates once a shape was
// seen, so that a step can be recorded into a graph.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <memory>

#include "engine/backend.h"
#include "engine/cuda/device_weights.h"
#include "engine/cuda/gemm.h"

namespace skipbench::cuda {

// Scratch that operations share; one stream, so a later operation may use an earlier one's slot.
enum class Slot {
  kNormed,     // [rows, k] normalised or converted input of a large linear
  kPanel,      // decoded weights of a large linear
  kSums,       // [rows, n] f32 products of a large linear
  kAttention,  // partial results of split attention
  kSoftmax,    // partial results of next_token, sample and log_prob
  kLeastDrawn, // [rows] of sample: the smallest logit that may be drawn
};

// What the operations of one backend share.
struct Context {
  cudaStream_t stream = nullptr;
  int multiprocessors = 1;
  int64_t cache_bytes = 0;          // L2
  int64_t shared_bytes = 48 << 10;  // of a block, at most
  DeviceWeights weights;
  std::unique_ptr<Gemm> gemm;
  std::map<const void*, size_t> shared_bytes_allowed;  // by kernel: see allow_shared_bytes

  Context(DeviceWeights::Allocate allocate, cudaStream_t on);

  // Device memory of at least `bytes`, aligned to 256, valid until the next call for this slot.
  template <typename T>
  T* scratch(Slot slot, int64_t count) {
    return static_cast<T*>(scratch_bytes(slot, count * static_cast<int64_t>(sizeof(T))));
  }
  void* scratch_bytes(Slot slot, int64_t bytes);
  // Gives the slot's memory back, of what was large and is not needed again.
  void release(Slot slot);

  // Changes whenever memory that launches were given (scratch, copies of weights) has moved.
  int64_t moves() const { return scratch_moves_ + weights.clears(); }

 private:
  struct Buffer {
    DeviceBuffer memory;
    int64_t bytes = 0;
  };
  DeviceWeights::Allocate allocate_;
  std::map<Slot, Buffer> scratch_;
  int64_t scratch_moves_ = 0;
};

void embed(Context& context, const EmbedArgs& args);
void norm(Context& context, const NormArgs& args);
void linear(Context& context, const LinearArgs& args);
void append_kv(Context& context, const AppendKvArgs& args);
void attend(Context& context, const AttendArgs& args);
void gather_rows(Context& context, const GatherRowsArgs& args);
void next_token(Context& context, const NextTokenArgs& args);
void sample(Context& context, const SampleArgs& args);
void log_prob(Context& context, const LogProbArgs& args);
void cosine(Context& context, const CosineArgs& args);
void scale(Context& context, const ScaleArgs& args);
void advance(Context& context, const AdvanceArgs& args);
void begin_exits(Context& context, const BeginExitsArgs& args);
void start_exit_clock(Context& context, const ExitState& state);
void test_exits(Context& context, const TestExitsArgs& args);
void copy_rows_if(Context& context, const CopyRowsArgs& args);

// The three ways of linear: own kernels that read each weight once, for up to 32 rows on the tensor
// cores where weights and activations have one half type, and for up to 8 otherwise; and products
// through gemm.h with quantised weights decoded a panel at a time.
void linear_tensor(Context& context, const LinearArgs& args);
bool linear_tensor_takes(const Context& context, const LinearArgs& args);
void linear_decode(Context& context, const LinearArgs& args);
void linear_prefill(Context& context, const LinearArgs& args);
bool linear_decode_takes(const LinearArgs& args);

// The three ways of attend: split over positions for few rows; and tiles of query rows, on the tensor
// cores where heads and types allow it.
void attend_decode(Context& context, const AttendArgs& args);
void attend_tensor(Context& context, const AttendArgs& args);
bool attend_tensor_takes(const Context& context, const AttendArgs& args);
void attend_prefill(Context& context, const AttendArgs& args);

double measure_read_bytes_per_second(Context& context);
double measure_flops_per_second(Context& context, DType type);

}  // namespace skipbench::cuda
