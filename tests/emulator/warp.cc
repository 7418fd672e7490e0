// Warp operations: they wait for the lanes of their mask, exchange values, and are errors where
// CUDA leaves them undefined.
#include "fmt/format.h"
#include "tests/emulator/block.h"

namespace skipbench::emulator {
namespace {

// For ThreadSanitizer; two for full masks as in scheduler.cc, [2] for partial ones.
char warp_token[kMaxThreads / kWarp][3];

// Lane whose value `lane` receives, or -1 for its own.
int source_lane(const Thread& thread, int lane) {
  const int begin = lane & ~(thread.width - 1);
  const int end = begin + thread.width;
  int source = lane;
  switch (thread.op) {
    case WarpOp::kShuffle:
      source = begin + (thread.parameter & (thread.width - 1));
      break;
    case WarpOp::kShuffleUp:
      source = lane - thread.parameter;
      break;
    case WarpOp::kShuffleDown:
      source = lane + thread.parameter;
      break;
    case WarpOp::kShuffleXor:
      source = lane ^ thread.parameter;
      break;
    default:
      break;
  }
  const bool inside = source < end && (source >= begin || thread.op == WarpOp::kShuffleXor);
  return inside ? source : -1;
}

// The product of a warp, lane after lane; `brought` are the addresses of their LaneProduct.
void multiply(const uint64_t (&brought)[kWarp]) {
  const auto lane_at = [&](int g, int t) -> const LaneProduct& {
    return *reinterpret_cast<const LaneProduct*>(brought[4 * g + t]);
  };
  for (int g = 0; g < 8; ++g) {
    for (int t = 0; t < 4; ++t) {
      for (int i = 0; i < 4; ++i) {  // element (g + 8 * half, column)
        const int half = i / 2;
        const int column = 2 * t + i % 2;
        float sum = lane_at(g, t).d[i];
        for (int k = 0; k < 16; ++k) {
          const int at = k % 8;
          const LaneProduct& of_a = lane_at(g, at / 2);
          const LaneProduct& of_b = lane_at(column, at / 2);
          sum += of_a.a[4 * (k / 8) + 2 * half + at % 2] * of_b.b[2 * (k / 8) + at % 2];
        }
        lane_at(g, t).d[i] = sum;
      }
    }
  }
}

// All lanes of the mask are here: every one gets its value and may go on.
void complete_warp_op(int warp_begin, unsigned mask) {
  warps[warp_begin / kWarp].waiting &= ~mask;
  uint64_t brought[kWarp] = {};
  unsigned ballot = 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    brought[lane] = threads[warp_begin + lane].value;
    if (brought[lane] != 0) ballot |= 1u << lane;
  }
  if (threads[current].op == WarpOp::kMultiply) multiply(brought);
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    Thread& thread = threads[warp_begin + lane];
    thread.state = State::kReady;
    if (thread.op == WarpOp::kBallot) {
      thread.value = ballot;
    } else if (thread.op == WarpOp::kMatch) {
      unsigned equal = 0;
      for (int other = 0; other < kWarp; ++other) {
        if ((mask >> other & 1) != 0 && brought[other] == brought[lane]) equal |= 1u << other;
      }
      thread.value = equal;
    } else if (thread.op != WarpOp::kSync && thread.op != WarpOp::kMultiply) {
      const int source = source_lane(thread, lane);
      if (source >= 0 && (mask >> source & 1) == 0) {
        stop_with(fmt::format("{} reads from lane {}, which is not in its mask {:#x}, at {}",
                              thread_name(warp_begin + lane), source, mask, place(thread.at)));
      }
      if (source >= 0) thread.value = brought[source];
    }
  }
}

// Looks at every lane that the current thread waits for or that waits for it, and stops where they
// will never come together. Whether all have come.
bool check_lanes(int warp_begin) {
  const Thread& self = threads[current];
  bool complete = true;
  for (int lane = 0; lane < kWarp; ++lane) {
    const int other = warp_begin + lane;
    const bool waits_for_this = other < thread_count && threads[other].state == State::kAtWarpOp &&
                                (threads[other].mask >> (current % kWarp) & 1) != 0;
    if ((self.mask >> lane & 1) == 0 && !waits_for_this) continue;
    if (other >= thread_count || threads[other].state == State::kDone) {
      stop_with(fmt::format("{} waits at the warp operation at {} for a lane that {}: lane {}",
                            thread_name(current), place(self.at),
                            other >= thread_count ? "does not exist" : "has exited", lane));
    }
    if (threads[other].state != State::kAtWarpOp) {
      complete = false;
      continue;
    }
    if (threads[other].mask != self.mask) {
      stop_with(fmt::format("mismatched masks: {} at {} with {:#x}, {} at {} with {:#x}",
                            thread_name(current), place(self.at), self.mask, thread_name(other),
                            place(threads[other].at), threads[other].mask));
    }
    if (threads[other].op != self.op || !same_place(threads[other].at, self.at)) {
      stop_with(fmt::format("lanes of one warp at different warp operations: {} at {}, {} at {}",
                            thread_name(current), place(self.at), thread_name(other),
                            place(threads[other].at)));
    }
  }
  return complete;
}

// Whether all lanes of the current thread's mask have come; stops where they never will.
bool warp_is_complete() {
  const Thread& self = threads[current];
  Warp& warp = warps[current / kWarp];
  const Thread& other = threads[warp.latest];
  const bool first = warp.waiting == 0;
  warp.uniform = first || (warp.uniform && other.mask == self.mask && other.op == self.op &&
                           same_place(other.at, self.at));
  warp.waiting |= lane_bit(current);
  warp.latest = current;
  // The usual case, without a look at each lane.
  if (warp.uniform && (warp.gone & self.mask) == 0) {
    return (warp.waiting & self.mask) == self.mask;
  }
  return check_lanes(current / kWarp * kWarp);
}

}  // namespace

uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int parameter, int width,
                        const std::source_location& at) {
  Thread& self = threads[current];
  if ((mask & lane_bit(current)) == 0) {
    stop_with(fmt::format("{} is not in its own mask {:#x} at {}", thread_name(current), mask,
                          place(at)));
  }
  self.op = op;
  self.mask = mask;
  self.value = value;
  self.parameter = parameter;
  self.width = width;
  self.at = at;
  self.state = State::kAtWarpOp;
  // Only __syncwarp orders memory; the others exchange values and nothing else (CUDA C++
  // Programming Guide, "Warp Shuffle Functions").
  void* token = nullptr;
  if (op == WarpOp::kSync) {
    token = &warp_token[current / kWarp][mask == kAllLanes ? self.warp_syncs++ & 1 : 2];
    publish(token);
  }
  if (warp_is_complete()) {
    complete_warp_op(current / kWarp * kWarp, mask);
  } else {
    wait_for_turn();
  }
  if (token != nullptr) acquire(token);
  return self.value;
}

void warp_multiply(const LaneProduct& lane, const std::source_location& at) {
  warp_operation(WarpOp::kMultiply, kAllLanes, reinterpret_cast<uint64_t>(&lane), 0, kWarp, at);
}

void check_matrix_rows(const void* tile, int pitch_bytes, const std::source_location& at) {
  warp_operation(WarpOp::kBallot, kAllLanes, 0, 0, kWarp, at);
  if (reinterpret_cast<uintptr_t>(tile) % 16 == 0 && pitch_bytes % 16 == 0) return;
  stop_with(fmt::format("{} loads a matrix whose rows, {} bytes apart, are not aligned to 16 at {}",
                        thread_name(current), pitch_bytes, place(at)));
}

}  // namespace skipbench::emulator
