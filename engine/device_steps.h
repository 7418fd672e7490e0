// Decoding steps on an asynchronous device, of an input-independent strategy or under an
// exit rule that the device decides: token, position, length and finished flags stay there, each
// step feeds the next, and the host reads tokens after it has queued a step more. A step allocates
// nothing and waits for nothing (after the first of its kind), so a step that comes again is
// recorded and replayed (recordings.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/decoder.h"
#include "engine/model.h"
#include "engine/recordings.h"
#include "strategies/strategy.h"

namespace skipbench {

class DeviceSteps {
 public:
  explicit DeviceSteps(Model& model);

  // One entry per row, arrays of one length: the sequence's place in `cache`, the token that the
  // next step takes in, and its position.
  struct Start {
    std::span<const int32_t> sequences;
    std::span<const int32_t> tokens;
    std::span<const int32_t> positions;
    std::span<const int32_t> texts;  // what tells their draws and replayed exits apart
    int step = 0;                    // decoding step, of an exit rule's thresholds
  };

  // Whether the device can run this strategy's steps by itself: skipped sublayers pass their input
  // on unscaled, and where there is a rule it stops rows by what the head says, they leave the key
  // and value of their hidden state in the layers above (KvPolicy::kProject) and go along
  // (RowsDone::kWait), and every layer runs.
  static bool takes(const SkipStrategy& strategy, int num_layers);

  // Whether later steps are recorded and replayed.
  void set_recording(bool on) { is_recording_ = on; }
  // Where the clock of the steps begins, after what an earlier batch has left.
  void start_clock();
  // Rows for the steps that follow, of a batch with these options. `cache` outlives them. A row
  // that makes an end-of-text id stays where it is in later steps. `rule` may be null.
  void start(const KvCache& cache, const GenerateOptions& options, const SkipRule* rule,
             const Start& rows);
  // Throws Error where the layers that it counts, or has counted when the step was recorded, are
  // not `layers` (without a rule).
  void queue(const LayerSet& layers);
  int64_t queued() const { return queued_ - taken_; }

  // The oldest queued step's results, a row each; waits for it alone. Valid until a step more was
  // queued than there are slots.
  struct Taken {
    std::span<const StepResult> rows;
    double microseconds = 0;  // since the step before, or since start_clock
    double layers = 0;        // without a rule: run for each row, counted; else the results say it
  };
  Taken take();
  // Waits for steps that nobody wants any more.
  void drain();

  static constexpr int kAhead = 2;  // steps that may be queued at a time

  const Recordings& recordings() const { return recordings_; }

 private:
  static constexpr int kSlots = 4;

  void grow(int64_t rows, size_t ends);
  RanLayers queue_operations(const LayerSet& layers);
  void queue_layers(const LayerSet& layers, int begin, int end);
  void queue_layers_with_exits(const LayerSet& layers);
  void queue_until_test(const LayerSet& layers, int begin, int end, bool is_last);
  void start_exits(int num_steps, int step);

  Model& model_;
  Backend& backend_;
  Recordings recordings_;
  bool is_recording_ = true;
  const KvCache* cache_ = nullptr;

  // On the device, [capacity_] each: token, sequence, position, finished, step, text; then the end
  // ids.
  DeviceBuffer state_;
  DeviceBuffer ring_;        // [kSlots, capacity_] StepResult, shared with the host
  DeviceBuffer exit_state_;  // of ExitState, for capacity_ rows
  DeviceBuffer thresholds_;  // [thresholds_capacity_] f64
  int thresholds_capacity_ = 0;
  int num_thresholds_ = 0;
  DeviceBuffer depths_;  // [depths_capacity_] i32, of a rule that replays exits
  int64_t depths_capacity_ = 0;
  int64_t exit_state_moves_ = -1;  // moves_ when it was made
  std::vector<double> host_thresholds_;
  const SkipRule* rule_ = nullptr;
  int64_t capacity_ = 0;
  size_t ends_capacity_ = 0;
  int64_t moves_ = 0;
  AdvanceArgs advance_;
  Model::Draws draws_;
  RowTable rows_;
  std::vector<int32_t> host_state_;

  std::unique_ptr<Mark> clock_;
  std::unique_ptr<Mark> marks_[kSlots];
  const Mark* last_mark_ = nullptr;
  double layers_[kSlots] = {};
  int64_t queued_ = 0;  // since the beginning, as is
  int64_t taken_ = 0;
};

}  // namespace skipbench
