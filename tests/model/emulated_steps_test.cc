// What a step asks of the device, counted by the emulated one: nothing but launches.
#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "engine/device_steps.h"
#include "tests/emulator/runtime_api.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

std::string model_path() { return (fixtures_folder() / "models/llama-untied").string(); }

const std::vector<TokenIds> kPrompts = {{1, 2, 3, 4, 5}, {7}, {9, 8, 7}};

// What each step of a batch adds to the counters; the first, which uploads the rows, left out.
std::vector<emulator::Counters> per_step(Decoder& decoder, const SkipStrategy& strategy,
                                         bool record_steps) {
  std::vector<emulator::Counters> readings;
  GenerateOptions options{.max_new_tokens = 9, .record_steps = record_steps};
  options.on_tokens = [&](int) { readings.push_back(emulator::counters()); };
  decoder.generate(kPrompts, strategy, options);
  std::vector<emulator::Counters> steps;
  for (size_t i = 2; i < readings.size(); ++i) {
    const emulator::Counters& from = readings[i - 1];
    const emulator::Counters& to = readings[i];
    steps.push_back({.launches = to.launches - from.launches,
                     .graph_launches = to.graph_launches - from.graph_launches,
                     .allocations = to.allocations - from.allocations,
                     .frees = to.frees - from.frees,
                     .queue_waits = to.queue_waits - from.queue_waits,
                     .event_waits = to.event_waits - from.event_waits});
  }
  return steps;
}

TEST(EmulatedSteps, AStepIsOneGraphAndNeitherAllocatesNorWaits) {
  LoadedDecoder device(model_path(), {.device = "emulated"});
  for (const StrategySpec& spec :
       {StrategySpec{.name = "full"}, StrategySpec{.name = "unified", .target = 2}}) {
    const auto strategy = make_strategy(spec, device.num_layers());
    per_step(device.decoder(), *strategy, true);  // queued once, then recorded
    int64_t graphs = 0;
    for (const emulator::Counters& step : per_step(device.decoder(), *strategy, true)) {
      EXPECT_EQ(step.launches, 0);
      EXPECT_EQ(step.allocations, 0);
      EXPECT_EQ(step.frees, 0);
      EXPECT_EQ(step.queue_waits, 0);
      EXPECT_LE(step.event_waits, 1);  // for the step before
      graphs += step.graph_launches;
    }
    // Eight steps; the first two are queued before the first reading, the last reads only.
    EXPECT_EQ(graphs, 6);
  }
}

// The host chooses between steps of a beam search, so they wait; all their memory is there before.
TEST(EmulatedSteps, AStepOfBeamsAllocatesNothing) {
  LoadedDecoder device(model_path(), {.device = "emulated"});
  const auto full = make_strategy({.name = "full"}, device.num_layers());
  std::vector<int64_t> changes;
  GenerateOptions options{.max_new_tokens = 9};
  options.beams.beams = 4;
  options.on_tokens = [&](int) {
    changes.push_back(emulator::counters().allocations + emulator::counters().frees);
  };
  device.decoder().generate(kPrompts, *full, options);
  changes.clear();
  device.decoder().generate(kPrompts, *full, options);
  ASSERT_EQ(changes.size(), 9u);  // after the prefill and after each step
  for (size_t step = 1; step < changes.size(); ++step) EXPECT_EQ(changes[step], changes[0]);
}

TEST(EmulatedSteps, WithoutRecordingsAStepIsLaunchesAlone) {
  LoadedDecoder device(model_path(), {.device = "emulated"});
  const auto full = make_strategy({.name = "full"}, device.num_layers());
  per_step(device.decoder(), *full, false);
  for (const emulator::Counters& step : per_step(device.decoder(), *full, false)) {
    EXPECT_EQ(step.graph_launches, 0);
    EXPECT_EQ(step.allocations, 0);
    EXPECT_EQ(step.queue_waits, 0);
  }
}

// Early exit: one graph, no wait, and of its layers only those up to the exit run. (The fixture has
// biases, of which keys and values alone, as rows that have exited need them, have a copy: it must
// be uploaded before anything is recorded.)
TEST(EmulatedSteps, LayersAboveTheExitAreSkippedOnTheDevice) {
  const std::string path = (fixtures_folder() / "models/bloom-7layers").string();
  LoadedDecoder device(path, {.device = "emulated"});
  const auto grids = [&](const char* threshold) {
    const auto strategy =
        make_strategy({.name = "early_exit",
                       .target = 2,
                       .params = {{"threshold", {threshold, ""}}, {"min_layer", {"1", ""}}}},
                      device.num_layers());
    per_step(device.decoder(), *strategy, true);
    for (const emulator::Counters& step : per_step(device.decoder(), *strategy, true)) {
      EXPECT_EQ(step.launches, 0);
      EXPECT_EQ(step.queue_waits, 0);
      EXPECT_EQ(step.allocations, 0);
    }
    const int64_t before = emulator::counters().grids;
    device.decoder().generate(kPrompts, *strategy, {.max_new_tokens = 9});
    return emulator::counters().grids - before;
  };
  // The fixture is never so sure: all layers and tests run. (At 1 no test is made at all.) Six of
  // seven layers, and of seven evaluations of the head, are left out of eight steps; four launches
  // or more each.
  EXPECT_GT(grids("0.999"), grids("0") + 8 * 6 * 8);
}

class EmulatedRecordings : public testing::Test {
 protected:
  // Runs step number `rows`, of as many layers; whether its operations were called.
  bool calls(int64_t rows) {
    bool called = false;
    const auto queue = [&] {
      called = true;
      return RanLayers{.layers = {}, .least = 0, .most = static_cast<int32_t>(2 * rows)};
    };
    const RanLayers ran = recordings_.run([&] { return Recordings::Key{.rows = rows}; }, queue);
    EXPECT_EQ(ran.most, 2 * rows) << "layers of another step, or none";
    return called;
  }

  std::unique_ptr<Backend> backend_ = make_backend({.device = "emulated"});
  Recordings recordings_{*backend_};
};

TEST_F(EmulatedRecordings, TheSecondTimeIsRecordedAndTheThirdReplayed) {
  EXPECT_TRUE(calls(1));
  EXPECT_EQ(recordings_.recorded(), 0);
  EXPECT_TRUE(calls(1));
  EXPECT_EQ(recordings_.recorded(), 1);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(calls(1));
  EXPECT_EQ(recordings_.replayed(), 3);
  EXPECT_TRUE(calls(2));
}

TEST_F(EmulatedRecordings, MovedWeightsMakeARecordingUseless) {
  for (int i = 0; i < 3; ++i) calls(1);
  backend_->forget_weights();
  EXPECT_TRUE(calls(1));  // queued, which uploads them again
  EXPECT_TRUE(calls(1));  // recorded
  EXPECT_FALSE(calls(1));
}

TEST_F(EmulatedRecordings, TheLeastRecentlyUsedGoes) {
  for (int i = 0; i < 3; ++i) calls(0);
  for (int i = 0; i < 3; ++i) calls(1);
  EXPECT_FALSE(calls(0));
  for (size_t i = 2; i < Recordings::kMost + 1; ++i) calls(static_cast<int64_t>(i));
  EXPECT_EQ(recordings_.size(), Recordings::kMost);
  EXPECT_FALSE(calls(0));
  EXPECT_TRUE(calls(1));
}

TEST_F(EmulatedRecordings, StepsThatNeverComeAgainAreNeverRecorded) {
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < Recordings::kMost + 1; ++i) {
      EXPECT_TRUE(calls(static_cast<int64_t>(i)));
    }
  }
  EXPECT_EQ(recordings_.recorded(), 0);
}

// Memory that is kept for later must not be why the next batch does not fit.
TEST(EmulatedSteps, IdleMemoryGivesWay) {
  LoadedDecoder device(model_path(), {.device = "emulated"});
  const auto full = make_strategy({.name = "full"}, device.num_layers());
  device.decoder().generate(kPrompts, *full, {.max_new_tokens = 40});
  const size_t used = emulator::memory_in_use();
  device.decoder().model().release_idle_memory();
  const size_t cache = used - emulator::memory_in_use();
  ASSERT_GT(cache, 0u);
  device.decoder().generate(kPrompts, *full, {.max_new_tokens = 40});
  emulator::set_memory_bytes(used + cache / 8);
  EXPECT_EQ(device.decoder().generate(kPrompts, *full, {.max_new_tokens = 41}).outputs.size(), 3u);
  EXPECT_THROW(device.decoder().generate(kPrompts, *full, {.max_new_tokens = 100}), OutOfMemory);
  emulator::set_memory_bytes(size_t{16} << 30);
}

}  // namespace
}  // namespace skipbench
