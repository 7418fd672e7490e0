#include "tests/cpu/test_support.h"

#include <cmath>

#include "fmt/format.h"
#include "hwy/highway.h"
#include "tests/cpu/mirrored_backend.h"
#include "tests/devices.h"

namespace skipbench::cpu_test {
namespace {

constexpr int64_t kGuardBytes = 128;
constexpr std::byte kGuard{0xa5};

void put(DType type, double value, std::byte* to) {
  const auto f32 = static_cast<float>(value);
  if (type == DType::kF32) {
    std::memcpy(to, &f32, sizeof(f32));
    return;
  }
  const uint16_t bits = type == DType::kF16 ? f32_to_f16(f32) : f32_to_bf16(f32);
  std::memcpy(to, &bits, sizeof(bits));
}

}  // namespace

TestMatrix::TestMatrix(DType type, int64_t rows, int64_t cols, int64_t gap) {
  const int64_t stride = cols + gap;
  const int64_t size = rows * stride * block_bytes(type) + 2 * kGuardBytes;
  bytes_ = std::make_shared<std::vector<std::byte>>(size, kGuard);
  matrix_ = {bytes_->data() + kGuardBytes, type, rows, cols, stride};
}

std::byte* TestMatrix::address(int64_t row, int64_t col) const {
  return bytes_->data() + kGuardBytes + (row * matrix_.stride + col) * block_bytes(matrix_.type);
}

double TestMatrix::get(int64_t row, int64_t col) const {
  return reference::element(matrix_.type, matrix_.data, row * matrix_.stride + col);
}

void TestMatrix::set(int64_t row, int64_t col, double value) {
  put(matrix_.type, value, address(row, col));
}

std::string TestMatrix::row_bytes(int64_t row) const {
  return {reinterpret_cast<const char*>(address(row, 0)),
          static_cast<size_t>(matrix_.cols * block_bytes(matrix_.type))};
}

void TestMatrix::check_guards(const std::string& label) const {
  const int64_t element = block_bytes(matrix_.type);
  for (int64_t i = 0; i < static_cast<int64_t>(bytes_->size()); ++i) {
    const int64_t column = (i - kGuardBytes) / element % matrix_.stride;
    const bool inside = i >= kGuardBytes &&
                        i < static_cast<int64_t>(bytes_->size()) - kGuardBytes &&
                        column < matrix_.cols;
    if (!inside && (*bytes_)[i] != kGuard) {
      ADD_FAILURE() << label << ": guard byte " << i - kGuardBytes << " was written";
      return;
    }
  }
}

TestMatrix random_matrix(Random& random, DType type, int64_t rows, int64_t cols, bool integers,
                         int64_t gap) {
  TestMatrix out(type, rows, cols, gap);
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> small(-2, 2);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) out.set(r, c, integers ? small(random) : normal(random));
  }
  return out;
}

TestWeight random_weight(Random& random, DType type, int64_t rows, int64_t cols, bool integers) {
  TestWeight out;
  const int64_t size = rows * bytes_of(type, cols);
  out.bytes = std::make_shared<std::vector<std::byte>>(size + 2);
  std::byte* data = out.bytes->data() + 2;
  out.weight = {"test", type, rows, cols, data};
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> small(-3, 3);
  std::uniform_int_distribution<int> any(0, 255);
  if (!is_quantised(type)) {
    for (int64_t i = 0; i < rows * cols; ++i) {
      put(type, integers ? small(random) : normal(random), data + i * block_bytes(type));
    }
    return out;
  }
  for (int64_t b = 0; b < size; b += block_bytes(type)) {
    for (int64_t i = 0; i < block_bytes(type); ++i)
      data[b + i] = static_cast<std::byte>(any(random));
    const double range = type == DType::kQ8_0 ? 64 : 4;
    put(DType::kF16, integers ? 0.5 : (0.5 + std::fabs(normal(random))) / range, data + b);
    if (type == DType::kQ4_1) put(DType::kF16, integers ? -3 : normal(random), data + b + 2);
  }
  return out;
}

Vector random_vector(Random& random, int64_t size, double mean, double deviation) {
  std::normal_distribution<float> normal(static_cast<float>(mean), static_cast<float>(deviation));
  Vector out(size);
  for (float& v : out) v = normal(random);
  return out;
}

void expect_within(const std::vector<double>& got, const std::vector<reference::Estimate>& want,
                   const std::string& label) {
  ASSERT_EQ(got.size(), want.size()) << label;
  double worst = -1;
  size_t index = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double difference = std::fabs(got[i] - want[i].value);
    double part = difference == 0 ? 0 : difference / want[i].error;
    if (std::isnan(part)) part = INFINITY;
    if (part > worst) {
      worst = part;
      index = i;
    }
  }
  if (worst <= 1) return;
  ADD_FAILURE() << fmt::format("{}: worst at {}: got {:.9g}, want {:.9g}, {:.1f} % of the bound",
                               label, index, got[index], want[index].value, 100 * worst);
}

// The fallback depends on the compiler: Highway does without its emulated vectors on GCC 12.
constexpr bool kScalar = HWY_STATIC_TARGET == HWY_SCALAR;
const std::vector<TestDevice> kInstructionSets = {
    {"avx3", "cpu", HWY_AVX3, 16},
    {"avx2", "cpu", HWY_AVX2, 8},
    {kScalar ? "scalar" : "emu128", "cpu", HWY_STATIC_TARGET, kScalar ? 1 : 4}};

const std::vector<TestDevice> kDevices = [] {
  std::vector<TestDevice> all = kInstructionSets;
  all.push_back({"emulated", "emulated"});
  all.push_back({"cuda", "cuda"});
  return all;
}();

std::string device_test_name(const testing::TestParamInfo<TestDevice>& info) {
  return info.param.name;
}

namespace {
std::string current_device = "cpu";
}  // namespace

void OnEveryDevice::SetUp() {
  current_device = GetParam().device;
  if (current_device != "cpu") {
    skip_without(current_device);
    return;
  }
  const int64_t target = GetParam().target;
  if (target != HWY_STATIC_TARGET && (hwy::SupportedTargets() & target) == 0) {
    GTEST_SKIP() << "this machine has no " << GetParam().name;
  }
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().DeInit();
  ASSERT_EQ(backend(1)->instruction_set(), GetParam().name);
}

void OnEveryDevice::TearDown() {
  current_device = "cpu";
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

std::unique_ptr<Backend> backend(int threads) {
  DeviceSpec spec;
  spec.device = current_device;
  spec.threads = threads;
  auto made = make_backend(spec);
  return current_device == "cpu" ? std::move(made) : mirror_host_memory(std::move(made));
}

}  // namespace skipbench::cpu_test
