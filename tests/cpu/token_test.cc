// next_token, log_prob and advance.
#include <cmath>
#include <limits>

#include "fmt/format.h"
#include "tests/cpu/test_support.h"

namespace skipbench::cpu_test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Token : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, Token, testing::ValuesIn(kDevices), device_test_name);

// On CUDA bits depend on the shape of the batch too.
class TokenOnCpu : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, TokenOnCpu, testing::ValuesIn(kInstructionSets), device_test_name);

std::vector<double> row_of(const TestMatrix& logits, int64_t row) {
  std::vector<double> out(logits.matrix().cols);
  for (int64_t c = 0; c < logits.matrix().cols; ++c) out[c] = logits.get(row, c);
  return out;
}

NextToken one(const std::vector<float>& logits, bool with_entropy = true) {
  const auto cols = static_cast<int64_t>(logits.size());
  TestMatrix matrix(DType::kF32, 1, cols);
  for (int64_t c = 0; c < cols; ++c) matrix.set(0, c, logits[c]);
  NextToken out;
  backend(2)->next_token({matrix.matrix(), with_entropy, &out});
  return out;
}

TEST_P(Token, MatchesTheSoftmaxInDouble) {
  Random random(1);
  auto cpu = backend(2);
  for (int64_t cols : {1, 31, 33, 1000, 4096, 4097, 49152}) {
    const TestMatrix logits = random_matrix(random, DType::kF32, 3, cols, false);
    std::vector<NextToken> out(3);
    cpu->next_token({logits.matrix(), true, out.data()});
    for (int64_t r = 0; r < 3; ++r) {
      const auto want = reference::next_token(row_of(logits, r));
      EXPECT_EQ(out[r].token, want.token) << cols;
      EXPECT_EQ(out[r].top_logit, static_cast<float>(want.top_logit));
      EXPECT_EQ(out[r].second_logit, static_cast<float>(want.second_logit));
      // All terms of the sum are positive: its relative error is at most the chain of additions
      // within a chunk, and a few units for each exp.
      const double unit =
          static_cast<double>(steps(std::min<int64_t>(cols, 4096)) + 8) * reference::kUnit;
      EXPECT_NEAR(out[r].top_probability, want.top_probability, unit * want.top_probability);
      EXPECT_NEAR(out[r].second_probability, want.second_probability,
                  unit * want.second_probability);
      EXPECT_NEAR(out[r].entropy, want.entropy, unit * (2 + std::log(cols) * 2));
    }
  }
}

TEST_P(Token, TiesGoToTheLowestId) {
  for (size_t first : {0, 5, 31, 4095, 4096, 4999}) {
    for (size_t second : {5000, 5001, 5017, 9000}) {
      std::vector<float> logits(9001, 1.0f);
      logits[first] = logits[second] = 7.0f;
      const NextToken next = one(logits);
      EXPECT_EQ(next.token, static_cast<int32_t>(first));
      EXPECT_EQ(next.second_logit, 7.0f);
      EXPECT_EQ(next.top_probability, next.second_probability);
    }
  }
  EXPECT_EQ(one(std::vector<float>(100, -3.0f)).token, 0);
  EXPECT_EQ(one(std::vector<float>(100, -3.0f)).second_logit, -3.0f);
}

TEST_P(Token, EntropyOnlyWhereAskedFor) {
  EXPECT_EQ(one({1, 2, 3}, false).entropy, 0);
  EXPECT_NEAR(one(std::vector<float>(64, 0.5f)).entropy, std::log(64.0), 1e-6);
}

TEST_P(Token, NaNAndInfinityAreDefined) {
  const float nan = NAN;
  EXPECT_EQ(one({nan, 1, 3, nan, 2}).token, 2);
  EXPECT_EQ(one({nan, 1, 3, nan, 2}).second_logit, 2);
  EXPECT_GT(one({nan, 1, 3, nan, 2}).top_probability, 0.6f);
  EXPECT_EQ(one({nan, nan}).token, 0);
  EXPECT_EQ(one({nan, nan}).top_probability, 0);
  EXPECT_EQ(one({-kInfinity, -kInfinity, -kInfinity}).token, 0);
  EXPECT_EQ(one({0, kInfinity, 5}).token, 1);
  EXPECT_EQ(one({0, kInfinity, 5}).top_probability, 1);
  EXPECT_EQ(one({-kInfinity, 4, -kInfinity}).top_probability, 1);
  EXPECT_EQ(one({-kInfinity, 4, -kInfinity}).entropy, 0);
  EXPECT_EQ(one({4}).second_logit, -kInfinity);
}

TEST_P(TokenOnCpu, BitsDependOnTheRowAlone) {
  Random random(2);
  const TestMatrix logits = random_matrix(random, DType::kF32, 17, 10001, false);
  const std::vector<int32_t> target(17, 4321);
  std::vector<NextToken> want(17);
  std::vector<double> want_log(17);
  for (int64_t r = 0; r < 17; ++r) {
    auto cpu = backend(1);
    cpu->next_token({logits.matrix().slice_rows(r, 1), true, &want[r]});
    cpu->log_prob({logits.matrix().slice_rows(r, 1), target.data(), &want_log[r]});
  }
  for (int threads : {1, 2, 3}) {
    std::vector<NextToken> got(17);
    std::vector<double> got_log(17);
    auto cpu = backend(threads);
    cpu->next_token({logits.matrix(), true, got.data()});
    cpu->log_prob({logits.matrix(), target.data(), got_log.data()});
    for (int64_t r = 0; r < 17; ++r) {
      EXPECT_EQ(std::memcmp(&got[r], &want[r], sizeof(NextToken)), 0);
      EXPECT_EQ(got_log[r], want_log[r]);
    }
  }
}

TEST_P(Token, LogProbIsInDouble) {
  Random random(3);
  auto cpu = backend(2);
  for (int64_t cols : {1, 31, 33, 1000, 49152}) {
    TestMatrix logits = random_matrix(random, DType::kF32, 4, cols, false);
    for (int64_t c = 0; c < cols; ++c) logits.set(0, c, logits.get(0, c) * 30);
    const std::vector<int32_t> target = {static_cast<int32_t>(cols - 1), 0,
                                         static_cast<int32_t>(cols / 2), 0};
    std::vector<double> out(4);
    cpu->log_prob({logits.matrix(), target.data(), out.data()});
    for (int64_t r = 0; r < 4; ++r) {
      const double want = reference::log_prob(row_of(logits, r), target[r]);
      EXPECT_NEAR(out[r], want, 1e-13 * (1 + std::fabs(want)) * std::sqrt(cols)) << cols;
    }
  }
}

// Rows 0, 3, 6, .. are finished before; row 1's next token ends it.
TEST_P(Token, AdvanceMovesTheRowsThatAreNotFinished) {
  for (const int rows : {1, 2, 33, 300}) {
    const int slots = 3;
    std::vector<NextToken> next(rows);
    std::vector<int32_t> token(rows), position(rows), finished(rows), step(rows);
    for (int r = 0; r < rows; ++r) {
      next[r] = {r == 1 ? 7 : 1000 + r, 0.5f * r, 0.25f, 0.125f, 0.0625f, 3.0f};
      token[r] = 50 + r;
      position[r] = 2 * r;
      finished[r] = r % 3 == 0;
      step[r] = 4;
    }
    const std::vector<int32_t> ends = {9999, 7};
    const NextToken none = {-1, -1, -1, -1, -1, -1};
    std::vector<StepResult> results(slots * rows, StepResult{.next = none});
    backend(2)->advance({.rows = rows,
                         .next = next.data(),
                         .ends = ends.data(),
                         .num_ends = 2,
                         .token = token.data(),
                         .position = position.data(),
                         .finished = finished.data(),
                         .step = step.data(),
                         .results = results.data(),
                         .slots = slots});
    for (int r = 0; r < rows; ++r) {
      const bool moved = r % 3 != 0;
      EXPECT_EQ(token[r], moved ? next[r].token : 50 + r);
      EXPECT_EQ(position[r], 2 * r + moved);
      EXPECT_EQ(finished[r], !moved || r == 1);
      EXPECT_EQ(step[r], 5);
      for (int slot = 0; slot < slots; ++slot) {
        const NextToken& want = slot == 1 ? next[r] : none;
        const StepResult& got = results[slot * rows + r];
        EXPECT_EQ(std::memcmp(&got.next, &want, sizeof(NextToken)), 0);
        EXPECT_EQ(got.sublayers, 0);
      }
    }
  }
}

// Rows whose number divides by 4 were finished before. The confidences are 0.1 * (r % 7); at the
// second test the threshold is lower.
TEST_P(Token, ExitsAreDecidedRowByRow) {
  for (const int rows : {1, 5, 32, 33, 100}) {
    std::vector<int32_t> running(rows, -1), sublayers(rows, -1), tests(rows, -1), step(rows, -1);
    std::vector<int32_t> finished(rows);
    int32_t any = -1, none = -1;
    std::vector<NextToken> chosen(rows, NextToken{-1, 0, 0, 0, 0, 0}), next(rows);
    std::vector<int64_t> clock(2, -1);
    for (int r = 0; r < rows; ++r) {
      finished[r] = r % 4 == 0 && rows > 1;
      next[r] = {100 + r, 0, 0, 0.2f + 0.1f * static_cast<float>(r % 7), 0.2f, 0};
    }
    const std::vector<double> thresholds = {0.45, 9.0};
    const ExitState state{rows,         running.data(), &any,
                          &none,        chosen.data(),  sublayers.data(),
                          tests.data(), step.data(),    clock.data()};
    auto device = backend(1);
    device->begin_exits({state, finished.data()});
    EXPECT_EQ(any, 1);
    EXPECT_EQ(none, 0);
    TestExitsArgs test{.state = state,
                       .next = next.data(),
                       .sublayers = 6,
                       .thresholds = thresholds.data(),
                       .num_thresholds = 2};
    device->start_exit_clock(state);
    device->test_exits(test);
    EXPECT_GE(clock[1], 0);
    bool some = false;
    for (int r = 0; r < rows; ++r) {
      const bool runs = finished[r] == 0 && r % 7 <= 4;
      some |= runs;
      EXPECT_EQ(running[r], runs) << r;
      EXPECT_EQ(step[r], 0);
      EXPECT_EQ(tests[r], finished[r] == 0);
      EXPECT_EQ(sublayers[r], finished[r] == 0 ? 6 : 0);
      EXPECT_EQ(chosen[r].token, finished[r] == 0 ? 100 + r : -1);
    }
    EXPECT_EQ(any, some);
    EXPECT_EQ(none, !some);
    for (NextToken& one : next) one.token += 1000;
    test.thresholds = nullptr;
    test.sublayers = 4;
    device->test_exits(test);  // the last layer
    for (int r = 0; r < rows; ++r) {
      const bool runs = finished[r] == 0 && r % 7 <= 4;
      EXPECT_EQ(chosen[r].token, runs ? 1100 + r : finished[r] == 0 ? 100 + r : -1);
      EXPECT_EQ(sublayers[r], runs ? 10 : finished[r] == 0 ? 6 : 0);
      EXPECT_EQ(tests[r], finished[r] == 0);
    }
  }
}

// Text r + 2 reads the list at step + 7 (r + 2); rows whose number divides by 4 were finished.
TEST_P(Token, ReplayedExitsFollowTheListAndNotTheConfidence) {
  const std::vector<int32_t> depths = {3, 5, 9, 4, 3};
  const std::vector<double> thresholds = {0.5};
  for (const int rows : {1, 33, 70}) {
    std::vector<int32_t> running(rows, -1), sublayers(rows, -1), tests(rows, -1), step(rows, 11);
    std::vector<int32_t> finished(rows), texts(rows);
    int32_t any = -1, none = -1;
    std::vector<NextToken> chosen(rows), next(rows);
    std::vector<int64_t> clock(2, -1);
    for (int r = 0; r < rows; ++r) {
      finished[r] = r % 4 == 3;
      texts[r] = r + 2;
      // As sure as can be or not at all, in turns.
      next[r] = {100 + r, 0, 0, r % 2 == 0 ? 1.0f : 0.5f, r % 2 == 0 ? 0.0f : 0.5f, 0};
    }
    const ExitState state{rows,         running.data(), &any,
                          &none,        chosen.data(),  sublayers.data(),
                          tests.data(), step.data(),    clock.data()};
    auto device = backend(1);
    device->begin_exits({state, finished.data()});
    TestExitsArgs test{.state = state,
                       .next = next.data(),
                       .sublayers = 6,
                       .thresholds = thresholds.data(),
                       .num_thresholds = 1,
                       .depths = depths.data(),
                       .num_depths = 5,
                       .texts = texts.data()};
    for (int layers = 3; layers <= 5; ++layers) {
      if (layers > 3) test.sublayers = 2;
      device->start_exit_clock(state);
      device->test_exits(test);
      bool some = false;
      for (int r = 0; r < rows; ++r) {
        const int depth = depths[(12 + 7 * (r + 2)) % 5];
        const bool runs = finished[r] == 0 && layers < depth;
        some |= runs;
        EXPECT_EQ(running[r], runs) << r << " after " << layers;
        const int run = std::min(layers, depth);
        EXPECT_EQ(sublayers[r], finished[r] == 0 ? 2 * run : 0) << r;
        EXPECT_EQ(tests[r], finished[r] == 0 ? run - 2 : 0) << r;
      }
      EXPECT_EQ(any, some);
      EXPECT_EQ(none, !some);
    }
  }
}

TEST_P(Token, RowsAreCopiedWhereTheFlagSaysSo) {
  Random random(6);
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    const TestMatrix in = random_matrix(random, type, 5, 33, false);
    const TestMatrix out = random_matrix(random, type, 5, 33, false);
    std::vector<std::string> before;
    for (int r = 0; r < 5; ++r) before.push_back(out.row_bytes(r));
    const std::vector<int32_t> flag = {1, 0, 0, 1, 0};
    backend(1)->copy_rows_if({in.matrix(), out.matrix(), flag.data(), 0});
    for (int r = 0; r < 5; ++r) {
      EXPECT_EQ(out.row_bytes(r), flag[r] == 0 ? in.row_bytes(r) : before[r]) << r;
    }
    out.check_guards("copy_rows_if");
  }
}

}  // namespace
}  // namespace skipbench::cpu_test
