// An emulated CUDA device for tests: runs kernels that were compiled as plain C++, on one OS
// thread. The threads of a block are fibers, the blocks of a grid run one after another. Barriers
// and warp operations are enforced rather than imitated: what is undefined in CUDA is an error
// here, with file and line. It proves arithmetic, indexing, barriers and (under ThreadSanitizer)
// the absence of races within a block; it proves nothing about speed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// Of the fiber that runs; set by the scheduler at every switch.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
constexpr int warpSize = 32;

namespace skipbench::emulator {

// A kernel did what CUDA leaves undefined. The message names the launch, the thread and file:line.
class EmulatorError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// In which order the threads of a block get their turns. The environment variable
// SKIPBENCH_EMULATOR_ORDER (forward, reverse, random:SEED) sets the initial one.
struct ThreadOrder {
  enum class Kind { kForward, kReverse, kRandom };
  Kind kind = Kind::kForward;
  uint64_t seed = 0;
};
ThreadOrder parse_thread_order(const std::string& text);
void set_thread_order(ThreadOrder order);

// Runs `body` once per thread of the grid and returns when all are done. Throws EmulatorError.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

// The running block's dynamic shared memory: 0xFF at the block's start (NaN as a float), with
// guard bytes around it that are checked at the block's end.
void* dynamic_shared_memory();

// One object of static shared memory, the same for all blocks; treated like the dynamic one.
class SharedSlot {
 public:
  explicit SharedSlot(size_t bytes);
  void* memory() const;

 private:
  void* node_;
};

// What the lanes of a warp do together.
enum class WarpOp {
  kSync,
  kShuffle,
  kShuffleUp,
  kShuffleDown,
  kShuffleXor,
  kBallot,
  kMatch,
  kMultiply
};

// Waits until every lane of `mask` has called it from the same place with the same mask, then
// returns the value that this lane gets. `value` is up to 8 bytes.
uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int parameter, int width,
                        const std::source_location& at);
void block_barrier(const std::source_location& at);

// What a lane brings to a product d += a * b of the whole warp, mma.m16n8k16: 8, 4 and 4 values,
// placed as the PTX ISA says. Waits as warp_operation does.
struct LaneProduct {
  const float* a;
  const float* b;
  float* d;
};
void warp_multiply(const LaneProduct& lane, const std::source_location& at);

// A copy to shared memory that goes on beside the thread (cp.async), 16 bytes. It lands as late as
// it may: when the thread waits for its group. take_landed_copy hands out, oldest first, what has
// to be there when all but the newest `newest_groups` closed groups are; false: no more.
struct AsyncCopy {
  void* to;
  const void* from;
};
void start_copy(const AsyncCopy& copy);
void close_copy_group();
bool take_landed_copy(int newest_groups, AsyncCopy& copy);
// A thread ends: nothing of its copies may be under way.
void check_copies_have_landed();

// What ldmatrix asks for: the whole warp is there, and rows of `pitch_bytes` begin at multiples
// of 16.
void check_matrix_rows(const void* tile, int pitch_bytes, const std::source_location& at);

// A thread of a launch that may overlap the one before it says that it has waited for that one. To
// end without it is an error: a launch behind might start before the one before has ended.
void wait_for_previous_grid();
void check_waited_for_previous();

// True while a thread of a block runs.
bool in_kernel();

}  // namespace skipbench::emulator
