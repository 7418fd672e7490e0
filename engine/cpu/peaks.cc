#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>

#include "engine/cpu/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/peaks.cc"
// clang-format off
#include "hwy/foreach_target.h"  // must come before highway.h
// clang-format on
#include "engine/cpu/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// Reads `count` floats in eight streams; the result keeps the compiler from dropping the loads.
float read_floats(const float* data, int64_t count) {
  const DF d;
  constexpr int kStreams = 8;
  const int64_t stream = count / kStreams / kLanes * kLanes;
  VF sum[kStreams];
  unroll<kStreams>([&](auto s) HWY_ATTR { sum[s] = hn::Zero(d); });
  for (int64_t i = 0; i < stream; i += kLanes) {
    unroll<kStreams>(
        [&](auto s) HWY_ATTR { sum[s] = hn::Add(sum[s], hn::LoadU(d, data + s * stream + i)); });
  }
  VF total = hn::Zero(d);
  unroll<kStreams>([&](auto s) HWY_ATTR { total = hn::Add(total, sum[s]); });
  return sum_of_lanes(total);
}

// `steps` times 12 independent vector multiply-adds; returns the FLOPs done, adds to `sink`.
double multiply_add(int64_t steps, float& sink) {
  const DF d;
  constexpr int kChains = 12;  // two units, latency 4, and some to spare; fits 16 registers
  const VF factor = hn::Set(d, 0.999f + sink * 0.0f);
  const VF term = hn::Set(d, 0.001f + sink * 0.0f);
  VF sum[kChains];
  unroll<kChains>([&](auto c) HWY_ATTR { sum[c] = hn::Set(d, static_cast<float>(c)); });
  for (int64_t i = 0; i < steps; ++i) {
    unroll<kChains>([&](auto c) HWY_ATTR { sum[c] = hn::MulAdd(sum[c], factor, term); });
  }
  unroll<kChains>([&](auto c) HWY_ATTR { sink += sum_of_lanes(sum[c]); });
  return 2.0 * kChains * kLanes * static_cast<double>(steps);
}

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skipbench::cpu {
namespace {

HWY_EXPORT(read_floats);
HWY_EXPORT(multiply_add);
HWY_EXPORT(target_name);

constexpr int kRepetitions = 5;

// Best of a few: a peak is what the machine can do when nothing disturbs it.
template <typename Fn>
double best_seconds(Fn&& fn) {
  double best = 1e30;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    fn();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    best = std::min(best, elapsed.count());
  }
  return best;
}

// Four times the last-level cache, at most an eighth of the memory. A virtual machine may report
// its whole host's cache, of which it owns a small part; hence the upper limit.
int64_t read_buffer_bytes() {
  const int64_t cache = std::max<int64_t>(0, sysconf(_SC_LEVEL3_CACHE_SIZE));
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  const int64_t wanted = std::clamp<int64_t>(4 * cache, int64_t{256} << 20, int64_t{1} << 30);
  return std::max<int64_t>(int64_t{16} << 20, std::min(wanted, memory / 8));
}

}  // namespace

double measure_read_bytes_per_second(Context& context) {
  constexpr int64_t kPiece = int64_t{1} << 20;  // floats of one call
  const int64_t pieces = read_buffer_bytes() / static_cast<int64_t>(sizeof(float)) / kPiece;
  const AlignedMemory memory = aligned_memory(pieces * kPiece * sizeof(float));
  auto* data = reinterpret_cast<float*>(memory.get());
  std::atomic<float> sink = 0;
  context.pool.parallel_for(pieces, 1, [&](int64_t begin, int64_t end, int) {
    std::fill(data + begin * kPiece, data + end * kPiece, 1.0f);
  });
  const double seconds = best_seconds([&] {
    context.pool.parallel_for(pieces, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t p = begin; p < end; ++p) {
        sink = HWY_DYNAMIC_DISPATCH(read_floats)(data + p * kPiece, kPiece);
      }
    });
  });
  return static_cast<double>(pieces * kPiece) * sizeof(float) / seconds;
}

double measure_flops_per_second(Context& context) {
  constexpr int64_t kSteps = 1 << 20;
  const int threads = context.pool.threads();
  std::atomic<float> sink = 0;
  double flops = 0;
  const double seconds = best_seconds([&] {
    std::atomic<double> done = 0;
    context.pool.parallel_for(4 * threads, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        float value = 0;
        done += HWY_DYNAMIC_DISPATCH(multiply_add)(kSteps, value);
        sink = value;
      }
    });
    flops = done;
  });
  return flops / seconds;
}

std::string instruction_set() {
  std::string name = HWY_DYNAMIC_DISPATCH(target_name)();
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

}  // namespace skipbench::cpu
#endif  // HWY_ONCE
