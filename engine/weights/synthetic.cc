#include "engine/weights/synthetic.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <new>
#include <thread>

#include "engine/base/error.h"
#include "engine/weights/random_fill.h"

namespace skipbench {
namespace {

constexpr int64_t kElementsPerThread = 1 << 20;  // below, a thread costs more than it saves
constexpr size_t kAlignment = 64;
constexpr double kBiasDeviation = 0.02;

template <typename T, typename Convert>
void fill_range(std::byte* data, int64_t begin, int64_t end, uint64_t stream, float deviation,
                Convert convert) {
  T* out = reinterpret_cast<T*>(data);
  for (int64_t i = begin; i < end; ++i) {
    out[i] = convert(unit_normal(stream, static_cast<uint64_t>(i)) * deviation);
  }
}

void fill_elements(DType type, std::byte* data, int64_t begin, int64_t end, uint64_t stream,
                   float deviation) {
  if (type == DType::kF32) {
    fill_range<float>(data, begin, end, stream, deviation, [](float x) { return x; });
  } else if (type == DType::kF16) {
    fill_range<uint16_t>(data, begin, end, stream, deviation, f32_to_f16);
  } else {
    fill_range<uint16_t>(data, begin, end, stream, deviation, f32_to_bf16);
  }
}

// Elements depend on their index alone, so any split among threads gives the same bits.
void fill_parallel(DType type, std::byte* data, int64_t count, uint64_t stream, float deviation) {
  const int64_t cores = std::max(1u, std::thread::hardware_concurrency());
  const int64_t parts = std::clamp<int64_t>(count / kElementsPerThread, 1, cores);
  std::vector<std::jthread> threads;
  for (int64_t part = 1; part < parts; ++part) {
    threads.emplace_back([=] {
      fill_elements(type, data, count * part / parts, count * (part + 1) / parts, stream,
                    deviation);
    });
  }
  fill_elements(type, data, 0, count / parts, stream, deviation);
}

std::shared_ptr<std::byte> allocate(int64_t bytes, const std::string& name) {
  const size_t rounded = (static_cast<size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
  if (memory == nullptr) {
    throw Error({.what = fmt::format("not enough memory for {} bytes", bytes),
                 .where = fmt::format("synthetic tensor '{}'", name)});
  }
  return {memory, [](std::byte* p) { std::free(p); }};
}

// Addresses that name a matrix and hold nothing: reading them is an error that shows at once.
std::shared_ptr<std::byte> reserve(int64_t bytes, const std::string& name) {
  const auto size = static_cast<size_t>(bytes);
  void* memory = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error({.what = fmt::format("no address space for {} bytes", bytes),
                 .where = fmt::format("synthetic tensor '{}'", name)});
  }
  return {static_cast<std::byte*>(memory), [size](std::byte* p) { munmap(p, size); }};
}

bool writes_residual(std::string_view name) {
  return name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") ||
         name.ends_with("self_attention.dense.weight") || name.ends_with("dense_4h_to_h.weight");
}

}  // namespace

Weight SyntheticTensors::matrix(const std::string& name, int64_t rows, int64_t cols) {
  Weight weight{.name = name, .type = type_, .rows = rows, .cols = cols};
  double deviation = 1 / std::sqrt(static_cast<double>(cols));
  if (writes_residual(name)) deviation /= std::sqrt(2.0 * num_layers_);
  const RandomFill fill{nullptr, random_stream(seed_, name), static_cast<float>(deviation)};
  const auto buffer =
      made_by_device_ ? reserve(weight.bytes(), name) : allocate(weight.bytes(), name);
  weight.data = buffer.get();
  if (made_by_device_) {
    weight.fill = fill;
    weight.fill.begin = weight.data;
  } else {
    fill_parallel(type_, buffer.get(), rows * cols, fill.stream, fill.deviation);
  }
  storage_.push_back(buffer);
  return weight;
}

Vector SyntheticTensors::vector(const std::string& name, int64_t size) {
  if (!name.ends_with(".bias")) return Vector(size, 1.0f);
  Vector values(size);
  const uint64_t stream = random_stream(seed_, name);
  for (int64_t i = 0; i < size; ++i) {
    values[i] = unit_normal(stream, i) * static_cast<float>(kBiasDeviation);
  }
  return values;
}

void check_memory_for(const ModelDescription& description, const std::string& where) {
  const ModelConfig& c = description.config;
  const auto hidden = static_cast<double>(c.hidden_size);
  const double mlp_parts = c.mlp == MlpKind::kGated ? 3 : 2;
  const double layer = hidden * (c.qkv_rows() + static_cast<double>(c.num_heads) * c.head_dim +
                                 mlp_parts * c.intermediate_size);
  const double parameters = layer * c.num_layers + hidden * c.vocab_size * (c.tied_head ? 1 : 2);
  const double needed = parameters * static_cast<double>(block_bytes(description.dtype));
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (needed > memory) {
    throw Error({.what = "the synthetic model does not fit into memory",
                 .where = where,
                 .expected = fmt::format("up to {:.1f} GB", memory / 1e9),
                 .got = fmt::format("{:.1f} GB of weights", needed / 1e9),
                 .hint = "choose a smaller shape or a smaller dtype"});
  }
}

}  // namespace skipbench
