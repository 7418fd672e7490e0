// sample: against the same draw in double precision, and the softmax that draws must follow.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/sampling.h"
#include "fmt/format.h"
#include "tests/cpu/test_support.h"

namespace skipbench::cpu_test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Sample : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, Sample, testing::ValuesIn(kDevices), device_test_name);

// Where many rows cost little. That the others draw the same is Sample's.
class SampleOnCpu : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, SampleOnCpu, testing::ValuesIn(kInstructionSets), device_test_name);

struct Places {
  std::vector<int32_t> text, position;
};

std::vector<int32_t> draw(const TestMatrix& logits, const Sampling& sampling, const Places& places,
                          int32_t before = -7) {
  std::vector<NextToken> next(static_cast<size_t>(logits.matrix().rows),
                              NextToken{before, 1, 2, 3, 4, 5});
  backend(2)->sample(
      {logits.matrix(), sampling, places.text.data(), places.position.data(), next.data()});
  std::vector<int32_t> tokens;
  for (const NextToken& one : next) {
    tokens.push_back(one.token);
    EXPECT_EQ(one.top_logit, 1);  // facts about the logits stay
    EXPECT_EQ(one.entropy, 5);
  }
  logits.check_guards("sample");
  return tokens;
}

// What each token's value is, -inf where it may not be drawn.
std::vector<double> values_of(const TestMatrix& logits, int64_t row, const Sampling& sampling,
                              const Places& places) {
  std::vector<double> value;
  for (int64_t c = 0; c < logits.matrix().cols; ++c) {
    const double logit = logits.get(row, c);
    value.push_back(std::isnan(logit) ? -kInfinity : logit);
  }
  double least = -kInfinity;
  if (sampling.top_k > 0 && sampling.top_k < std::ssize(value)) {
    std::vector<double> sorted = value;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    least = sorted[static_cast<size_t>(sampling.top_k) - 1];
  }
  const uint64_t stream = noise_stream(sampling.seed, places.text[row], places.position[row]);
  for (size_t i = 0; i < value.size(); ++i) {
    const double u = noise_uniform(stream, static_cast<int64_t>(i));
    const double noise = -std::log(-std::log1p(-u));
    value[i] = value[i] < least ? -kInfinity : value[i] / sampling.temperature + noise;
  }
  return value;
}

TEST_P(Sample, IsTheArgmaxOfNoisyLogits) {
  Random random(1);
  for (const int64_t cols : {1, 2, 31, 33, 1000, 4095, 4097, 9001}) {
    TestMatrix logits = random_matrix(random, DType::kF32, 3, cols, false);
    if (cols > 40) {
      logits.set(1, 17, NAN);
      for (int64_t c = 20; c < 40; ++c) logits.set(1, c, -kInfinity);
      for (int64_t c = 0; c < cols; c += 3) logits.set(2, c, 2.5);  // ties at the k-th
    }
    const Places places{{5, 1000000, 0}, {0, 3, 77}};
    for (const int top_k : {0, 1, 2, 7, 500, 20000}) {
      for (const double temperature : {0.1, 1.0, 3.0}) {
        const Sampling sampling{temperature, top_k, 42};
        const std::vector<int32_t> tokens = draw(logits, sampling, places);
        for (int64_t r = 0; r < 3; ++r) {
          const auto value = values_of(logits, r, sampling, places);
          const double top = *std::max_element(value.begin(), value.end());
          ASSERT_GE(tokens[r], 0);
          ASSERT_LT(tokens[r], cols);
          // Two of nearly one value may change places.
          EXPECT_NEAR(value[tokens[r]], top, 2e-5 * (1 + std::fabs(top)))
              << cols << " columns, row " << r << ", top_k " << top_k;
        }
      }
    }
  }
}

TEST_P(Sample, NaNAndInfinityAreDefined) {
  const auto one = [](std::vector<float> logits, int top_k) {
    const auto cols = static_cast<int64_t>(logits.size());
    TestMatrix matrix(DType::kF32, 1, cols);
    for (int64_t c = 0; c < cols; ++c) matrix.set(0, c, logits[c]);
    return draw(matrix, {1.0, top_k, 9}, {{3}, {4}}, 11)[0];
  };
  for (const int top_k : {0, 1, 2}) {
    EXPECT_EQ(one({NAN, -kInfinity, 4, NAN}, top_k), 2);
    EXPECT_EQ(one({1, kInfinity, 5}, top_k), 1);
    EXPECT_EQ(one({NAN, NAN, -kInfinity}, top_k), 11) << "nothing to draw";
  }
  EXPECT_EQ(one({-3, -1, -2}, 1), 1);  // the first of one is the greedy choice
  EXPECT_EQ(one({-0.0f, 0.0f, -1}, 1), one({0.0f, -0.0f, -1}, 1));
}

// Every row a place of its own.
TEST_P(SampleOnCpu, DrawsFollowTheSoftmax) {
  constexpr int64_t kRows = 4000;
  const std::vector<double> logit = {2.0, -1.0, 0.5, 0.5, -4.0, 1.0, -2.5};
  TestMatrix logits(DType::kF32, kRows, std::ssize(logit));
  Places places;
  for (int64_t r = 0; r < kRows; ++r) {
    for (size_t c = 0; c < logit.size(); ++c) logits.set(r, static_cast<int64_t>(c), logit[c]);
    places.text.push_back(static_cast<int32_t>(r / 40));
    places.position.push_back(static_cast<int32_t>(r % 40));
  }
  for (const double temperature : {0.7, 1.0, 2.0}) {
    for (const int top_k : {0, 4}) {
      std::vector<double> count(logit.size()), p(logit.size());
      double sum = 0;
      for (size_t c = 0; c < logit.size(); ++c) {
        const bool in = top_k == 0 || logit[c] >= 0.5;
        sum += p[c] = in ? std::exp(logit[c] / temperature) : 0;
      }
      for (const int32_t token : draw(logits, {temperature, top_k, 3}, places)) ++count[token];
      double chi_squared = 0;
      for (size_t c = 0; c < logit.size(); ++c) {
        const double want = kRows * p[c] / sum;
        if (want == 0) {
          EXPECT_EQ(count[c], 0);
        } else {
          chi_squared += (count[c] - want) * (count[c] - want) / want;
        }
      }
      EXPECT_LT(chi_squared, 27.9) << temperature << " " << top_k;  // p = 1e-4 at 6 degrees
    }
  }
}

TEST(Noise, IsAnotherAtEachPlace) {
  const auto correlation = [](uint64_t a, uint64_t b) {
    double sum = 0;
    for (int64_t i = 0; i < 10000; ++i) {
      sum += (noise_uniform(a, i) - 0.5) * (noise_uniform(b, i) - 0.5) * 12;
    }
    return sum / 10000;
  };
  const uint64_t here = noise_stream(1, 2, 3);
  EXPECT_NEAR(correlation(here, here), 1, 0.05);
  for (const uint64_t other : {noise_stream(2, 2, 3), noise_stream(1, 3, 3), noise_stream(1, 2, 4),
                               noise_stream(1, 3, 2), noise_stream(0, 2, 3)}) {
    EXPECT_NEAR(correlation(here, other), 0, 0.05);
  }
}

TEST(Noise, StaysInsideTheUnitInterval) {
  for (int64_t id = 0; id < 1 << 16; ++id) {
    const float u = noise_uniform(7, id);
    ASSERT_GT(u, 0);
    ASSERT_LT(u, 1);
  }
}

}  // namespace
}  // namespace skipbench::cpu_test
