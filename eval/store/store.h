// The results file of a sweep: runs, cells and what was measured. Everything that belongs together
// is written in one transaction, so that a kill at any moment loses at most the batch at work.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/decoder.h"
#include "eval/calibration.h"
#include "eval/provenance.h"
#include "eval/store/database.h"
#include "eval/telemetry/batch_meter.h"

namespace skipbench {

// Names of cells.status.
namespace cell_status {
inline constexpr char kPending[] = "pending";
inline constexpr char kDone[] = "done";
inline constexpr char kFailed[] = "failed";
inline constexpr char kOutOfMemory[] = "oom";
inline constexpr char kInterrupted[] = "interrupted";
inline constexpr char kInvalid[] = "invalid";          // the target is outside its range
inline constexpr char kUnsupported[] = "unsupported";  // asked for something not built yet
}  // namespace cell_status

// A cell as a run's configuration names it.
struct CellKey {
  std::string kind;  // "quality" or "timing"
  std::string strategy;
  double target = 1.0;
  std::string dataset;
  int64_t batch = 1;
  std::string variant;  // point of the matrix; empty: it has one
};

// The weights that a run's cell asks for.
struct CellWeights {
  std::string adapter;  // folder; empty: the model itself
  std::string types;    // as weight_types (eval/weight_types.h) says
};

struct StoredCell {
  int64_t id = 0;
  std::string status;
  std::string message;
};

struct OutputRecord {
  int64_t index = 0;  // of the example in its dataset
  int64_t batch_index = 0;
  int64_t prompt_tokens = 0;
  TokenIds tokens;
  std::string text;  // after post-processing; UTF-8
  std::vector<std::string> references;
  LayersPerToken layers;
};

// Raw times of one decoded batch, and what it took beside time (of a timed one).
struct SampleRecord {
  int64_t repetition = 0;
  int64_t batch_index = 0;
  int64_t rows = 0;
  BatchTimings timings;
  BatchUse use;
};

struct ScoreRecord {
  std::string signature;
  std::string name;
  double score = 0;
  std::optional<double> precision, recall;
};

struct RunRecord {
  std::string command;
  std::string config;  // resolved, JSON
  Provenance provenance;
  std::string model;
  std::string model_hash;
  int num_layers = 0;
};

class ResultStore {
 public:
  // kReadWrite creates and migrates the file and holds it alone until the object goes. Throws
  // StoreError when another run holds it, and whatever Database and migrate throw.
  ResultStore(const std::string& path, OpenMode mode);
  ~ResultStore();
  ResultStore(const ResultStore&) = delete;
  ResultStore& operator=(const ResultStore&) = delete;

  Database& database() { return *database_; }
  // Forgets every run (`--fresh`), in the caller's transaction.
  void clear();

  int64_t begin_run(const RunRecord& run);
  void set_peaks(int64_t run, double read_bytes_per_second, double flops_per_second);
  void end_run(int64_t run, const std::string& state);

  // A point of the run's matrix, for its table's provenance.
  struct RunVariant {
    std::string variant, model, model_hash;
    int num_layers = 0;
    std::string dtype, device, device_name;
    std::string weights;  // types of the model without adapter; empty: an older version's
  };
  void add_variant(int64_t run, int64_t position, const RunVariant& variant);
  // The scores that the run's table shows of the cell at `ordinal`, in their order.
  void ask_for_scores(int64_t run, int64_t ordinal, std::span<const std::string> signatures);

  // Finds or makes the cell of `identity` and lists it in the run's table at `ordinal`.
  StoredCell add_cell(int64_t run, int64_t ordinal, const CellKey& key, const std::string& identity,
                      const std::string& resolved, const CellWeights& weights = {});
  std::optional<StoredCell> find_cell(const std::string& identity);
  void set_status(int64_t cell, int64_t run, const std::string& status,
                  const std::string& message = "");
  void set_longest_skipped_run(int64_t cell, int longest);
  void set_calibration_of(int64_t cell, int64_t calibration);

  // Quality: batches that are done stay done.
  int64_t num_outputs(int64_t cell);
  int64_t num_batches(int64_t cell);  // of a quality cell
  void add_batch(int64_t cell, std::span<const OutputRecord> outputs, const SampleRecord& sample);
  std::vector<OutputRecord> outputs(int64_t cell);
  void finish_quality(int64_t cell, int64_t run, std::span<const ScoreRecord> scores);
  bool has_score(int64_t cell, const std::string& signature);

  // Timing: a whole group at once, or nothing of it.
  struct TimedCell {
    int64_t cell = 0;
    std::vector<SampleRecord> samples;
    std::vector<OutputRecord> outputs;
    double bound = 0;
    int64_t weight_bytes = 0;         // of the model
    int64_t unread_weight_bytes = 0;  // those of them that no pass of the strategy reads
  };
  void finish_group(int64_t run, const std::string& dataset, int64_t batch, double mean_context,
                    std::span<const TimedCell> cells);

  struct StoredCalibration {
    int64_t id = 0;
    Calibration calibration;
  };
  std::optional<StoredCalibration> find_calibration(const std::string& identity);
  StoredCalibration add_calibration(int64_t run, const std::string& identity,
                                    const std::string& strategy, double target,
                                    const std::string& dataset, const std::string& data_hash,
                                    const Calibration& calibration);
  // JSON of layer scores; adding replaces what the identity had (greedy orders grow).
  std::optional<std::string> find_layer_scores(const std::string& identity);
  void add_layer_scores(int64_t run, const std::string& identity, const std::string& score,
                        const std::string& dataset, const std::string& data_hash,
                        const std::string& scores);
  std::optional<std::vector<ScoreRequest>> find_calibration_data(const std::string& identity);
  void add_calibration_data(int64_t run, const std::string& identity,
                            std::span<const ScoreRequest> requests);

 private:
  void insert_output(int64_t cell, const OutputRecord& output);
  void insert_sample(int64_t cell, int64_t group, const SampleRecord& sample);

  int lock_ = -1;  // file descriptor that holds the lock; closed after the database
  std::optional<Database> database_;
};

std::string utc_now();  // "2026-11-24T13:20:00Z"

}  // namespace skipbench
