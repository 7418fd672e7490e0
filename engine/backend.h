// The coarse operations that a transformer needs, one abstract class for every device.
//
// Every operation works on `rows`: the tokens of one pass, packed without padding. A row belongs to
// a sequence (its place in the cache) and has a position; prompts of different lengths stand one
// after another in one pass, a decoding step has one row per unfinished sequence.
//
// Pointers are addresses of the device; the host reaches them through upload and download only.
// Operations are queued in order; `download` and `synchronise` wait for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/base/dtype.h"
#include "engine/model_config.h"
#include "engine/sampling.h"
#include "engine/weights/weight.h"
#include "strategies/exit_signal.h"

namespace skipbench {

// Device memory, freed with its last owner.
using DeviceBuffer = std::shared_ptr<void>;

// Activations: [rows, cols] of f32, f16 or bf16, rows `stride` elements apart.
struct Matrix {
  void* data = nullptr;
  DType type = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  // Rows [begin, begin + count) of the same matrix.
  Matrix slice_rows(int64_t begin, int64_t count) const {
    Matrix part = *this;
    part.data = static_cast<std::byte*>(data) + begin * stride * block_bytes(type);
    part.rows = count;
    return part;
  }
};

// The rows of a pass, on the device. All arrays are [rows].
struct RowTable {
  int64_t rows = 0;
  const int32_t* token = nullptr;
  const int32_t* sequence = nullptr;  // index into the cache's sequences
  const int32_t* position = nullptr;  // 0-based; also the row's slot in the cache
  // No two neighbouring rows are of one sequence, as in a decoding step: a hint for speed.
  bool single_rows = false;

  RowTable slice(int64_t begin, int64_t count) const {
    return {count, token == nullptr ? nullptr : token + begin, sequence + begin, position + begin,
            single_rows};
  }
};

// Keys and values of one layer: [sequences, kv_heads, capacity, head_dim] each. A slot is a
// position, so keys stand at their true positions even where some are absent.
struct KvView {
  void* keys = nullptr;
  void* values = nullptr;
  DType type = DType::kF32;
  int64_t capacity = 0;        // positions per sequence
  uint8_t* present = nullptr;  // [sequences, capacity], 1 where written; null: all earlier ones are
  // [sequences, capacity]: the sequence whose memory `attend` reads for a position (beams share
  // what they have in common); null: its own. Read up to a row's own position.
  const int32_t* source = nullptr;
};

struct EmbedArgs {
  RowTable rows;
  const Weight* embedding = nullptr;  // [vocab, hidden]
  Matrix out;                         // [rows, hidden]
};

struct NormArgs {
  NormKind kind = NormKind::kRmsNorm;
  double epsilon = 0;
  const NormWeights* weights = nullptr;  // gain [cols], bias [cols] or empty
  Matrix in;                             // [rows, cols]
  Matrix out;                            // [rows, cols], may be `in`
};

// What `linear` applies to a norm's input on its way in; the same arithmetic as `norm`.
struct NormSpec {
  NormKind kind = NormKind::kRmsNorm;
  double epsilon = 0;
  const NormWeights* weights = nullptr;  // null: no norm
};

enum class Epilogue {
  kNone,
  kActivate,  // out = act(y)
  kGated,     // two parts of n rows each, out = act(y[0:n]) * y[n:2n]: out has n columns
};

// out = epilogue(projection * norm(in) + bias) (+ residual).
struct LinearArgs {
  NormSpec norm;
  const Projection* projection = nullptr;  // [n, k]
  Epilogue epilogue = Epilogue::kNone;
  Activation activation = Activation::kSilu;
  Matrix in;        // [rows, k]
  Matrix residual;  // [rows, n]; data null: none; may be `out`
  Matrix out;       // [rows, n], or [rows, n / 2] for kGated; f32 where logits are wanted
};

// Normalises (qk_norm) and rotates (RoPE) query and key of each row, writes key and value into the
// cache at (sequence, position) and the query back into `qkv`. With `keys_and_values_only` the
// query's columns are neither read nor written (KvPolicy::kProject).
struct AppendKvArgs {
  const ModelConfig* config = nullptr;
  const LayerWeights* layer = nullptr;  // for query_norm and key_norm
  RowTable rows;
  Matrix qkv;  // [rows, qkv_rows], columns as config->qkv_layout says
  KvView cache;
  bool keys_and_values_only = false;
};

// Softmax attention of each row over the cached positions max(0, p - window + 1) .. p that are
// present, p the row's own position, which append_kv has written. ALiBi per config->position.
struct AttendArgs {
  const ModelConfig* config = nullptr;
  RowTable rows;
  Matrix qkv;  // queries, as append_kv left them
  KvView cache;
  int window = 0;  // 0: all earlier positions
  Matrix out;      // [rows, num_heads * head_dim]
};

// out[i] = in[index[i]]; `in` and `out` do not overlap.
struct GatherRowsArgs {
  Matrix in;
  const int32_t* index = nullptr;  // [out.rows], device
  Matrix out;
};

// What one row of logits says about the next token. Ties go to the lower id.
struct NextToken {
  int32_t token = 0;          // argmax
  float top_logit = 0;        // its logit
  float second_logit = 0;     // the best of the others
  float top_probability = 0;  // softmax
  float second_probability = 0;
  float entropy = 0;  // of the softmax, in nats
};

struct NextTokenArgs {
  Matrix logits;              // [rows, vocab] f32
  bool with_entropy = false;  // entropy is 0 unless asked for
  NextToken* out = nullptr;   // [rows], device
};

// Draws the rows' tokens, see engine/sampling.h. A NaN logit is never drawn; where no logit is
// above -inf the token stays as it is.
struct SampleArgs {
  Matrix logits;                      // [rows, vocab] f32
  Sampling sampling;                  // temperature > 0
  const int32_t* text = nullptr;      // [rows], device
  const int32_t* position = nullptr;  // [rows], device
  NextToken* out = nullptr;           // [rows], device; `token` is replaced, the rest stays
};

// Log-probability of a given token per row: logit - log sum exp, summed in f64.
struct LogProbArgs {
  Matrix logits;                    // [rows, vocab] f32
  const int32_t* target = nullptr;  // [rows], device
  double* out = nullptr;            // [rows], device
};

// The rows of a step under an exit rule that the device decides; all arrays are on the device.
struct ExitState {
  int64_t rows = 0;
  int32_t* running = nullptr;       // [rows], 0 once the row has exited (or was finished before)
  int32_t* any_running = nullptr;   // one
  int32_t* none_running = nullptr;  // one, the opposite
  NextToken* chosen = nullptr;      // [rows], of the row's exit or of the last layer
  int32_t* sublayers = nullptr;     // [rows], run for the row, counted
  int32_t* tests = nullptr;         // [rows], of the row
  int32_t* step = nullptr;          // [rows], decoding step, counted up by begin_exits
  int64_t* clock_ns = nullptr;      // two: when the test at hand began, and what all tests took
};

// Every row that is not finished runs; nothing is counted yet.
struct BeginExitsArgs {
  ExitState state;
  const int32_t* finished = nullptr;  // [rows]
};

// Running rows have run `sublayers` more, and stop where they are sure enough of `next`, or where a
// list of depths that is replayed says so.
struct TestExitsArgs {
  ExitState state;
  const NextToken* next = nullptr;  // [rows]
  int sublayers = 0;
  ExitSignal signal = ExitSignal::kSoftmaxDifference;
  double log_vocabulary = 1;
  const double* thresholds = nullptr;  // [num_thresholds] by step; null: after the last layer, no
  int num_thresholds = 0;              // test: all take `next`
  const int32_t* depths = nullptr;     // [num_depths] layers, entry replayed_entry(step, text)
  int num_depths = 0;                  // 0: the confidence decides
  const int32_t* texts = nullptr;      // [rows], of replayed_entry
};

// out[i] = in[i] where flag[i] == value; `in` and `out` do not overlap.
struct CopyRowsArgs {
  Matrix in;
  Matrix out;
  const int32_t* flag = nullptr;  // [rows], device; null: all rows
  int32_t value = 1;
};

// Cosine of each row of `a` with the same row of `b`, both [rows, cols] of one type, summed in f64
// and clipped to [-1, 1]; 0 where one of them is all zero.
struct CosineArgs {
  Matrix a;
  Matrix b;
  double* out = nullptr;  // [rows], device
};

// Every element of `rows` times `factor`, in place, rounded to the matrix's type.
struct ScaleArgs {
  Matrix rows;
  float factor = 1;
};

// What a step that feeds itself says about a row.
struct StepResult {
  NextToken next;
  int32_t sublayers = 0;   // under an exit rule: run for the row
  int32_t exit_tests = 0;  // of the row
  float exit_test_us = 0;  // of all rows together, on the device's clock
};

// The end of a step of rows that feed themselves. A row that is not finished takes its next token
// and moves one position on; it is finished where that token is one of `ends`. A finished row stays
// as it is, so that a step that was queued before the host knew does it no harm.
struct AdvanceArgs {
  int64_t rows = 0;
  const NextToken* next = nullptr;  // [rows], device
  const int32_t* ends = nullptr;    // [num_ends], device
  int num_ends = 0;
  int32_t* token = nullptr;       // [rows], device, as the three below
  int32_t* position = nullptr;    // [rows]
  int32_t* finished = nullptr;    // [rows], 0 or 1
  int32_t* step = nullptr;        // [rows], counted up
  StepResult* results = nullptr;  // [slots, rows], allocate_shared: slot step % slots is written
  int slots = 1;
  ExitState exits;  // rows 0: no exit rule
};

// A point in a device's queue that the host can wait for without waiting for what comes behind it.
class Mark {
 public:
  virtual ~Mark() = default;
  virtual void set() = 0;   // behind all that is queued now
  virtual void wait() = 0;  // until the device has come to where it was set last
  // Time between two marks that were waited for, on the device's clock.
  virtual double microseconds_since(const Mark& earlier) const = 0;
};

// Operations that were recorded once and are queued again unchanged, with the same addresses.
class Recording {
 public:
  virtual ~Recording() = default;
  // False, with nothing queued, where memory of the device's own (copies of weights, scratch) has
  // moved since the recording: it is of no more use.
  virtual bool replay() = 0;
};

// Versions of the libraries that a device's operations go through, "12.4" and "12.4.5"; empty: it
// uses none, or does not say.
struct LibraryVersions {
  std::string cuda_runtime, cublaslt;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;         // "cpu"
  virtual std::string device_name() const = 0;  // the CPU's or the card's model name
  virtual DType activation_type() const = 0;    // f32, f16 or bf16
  virtual int threads() const { return 1; }
  // "avx3", "avx2", ... : part of a timing's identity, since bits and speed depend on it.
  virtual std::string instruction_set() const { return ""; }
  // Where a card sits ("0000:65:00.0"), by which its driver's library knows it; empty: it is no
  // card, or does not say.
  virtual std::string pci_bus_id() const { return ""; }
  virtual LibraryVersions library_versions() const { return {}; }

  virtual DeviceBuffer allocate(size_t bytes) = 0;
  virtual void upload(void* device, const void* host, size_t bytes) = 0;
  virtual void download(void* host, const void* device, size_t bytes) = 0;
  virtual void fill_zero(void* device, size_t bytes) = 0;
  virtual void synchronise() {}
  // Whether the device makes weights that have no contents on the host (Weight::fill).
  virtual bool makes_random_weights() const { return false; }
  // Drops the copies that a device has made of weights, norms and biases on their first use. Before
  // host memory that an operation has read is freed or changed; Model does it when it goes.
  virtual void forget_weights() {}
  // Most bytes of the device's own memory that this backend held at once since reset_peak_memory,
  // or since it was made: weights, caches and scratch, of all models that use it. Nothing where the
  // memory is the process's, which no backend counts.
  virtual std::optional<int64_t> peak_memory_bytes() const { return std::nullopt; }
  virtual void reset_peak_memory() {}

  // Whether operations are queued and run later, so that a host that plans a step ahead keeps the
  // device busy. Only such a device has marks and recordings.
  virtual bool is_asynchronous() const { return false; }
  // Memory that the device writes in place and the host reads, once a mark behind the writing
  // operation was waited for.
  virtual DeviceBuffer allocate_shared(size_t bytes) { return allocate(bytes); }
  virtual std::unique_ptr<Mark> make_mark() { return nullptr; }
  // Records the operations that `queue` calls without running them. They have run before with the
  // same shapes: a recording can neither allocate nor wait. Null where the device records nothing.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& /*queue*/) {
    return nullptr;
  }
  virtual bool is_recording() const { return false; }
  // While recording: what `queue` calls is run only where *flag (device memory) is not 0 when the
  // device comes to it.
  virtual void record_if(const int32_t* /*flag*/, const std::function<void()>& queue) { queue(); }

  virtual void embed(const EmbedArgs& args) = 0;
  virtual void norm(const NormArgs& args) = 0;
  virtual void linear(const LinearArgs& args) = 0;
  virtual void append_kv(const AppendKvArgs& args) = 0;
  virtual void attend(const AttendArgs& args) = 0;
  virtual void gather_rows(const GatherRowsArgs& args) = 0;
  virtual void next_token(const NextTokenArgs& args) = 0;
  virtual void sample(const SampleArgs& args) = 0;
  virtual void log_prob(const LogProbArgs& args) = 0;
  virtual void cosine(const CosineArgs& args) = 0;
  virtual void scale(const ScaleArgs& args) = 0;
  virtual void advance(const AdvanceArgs& args) = 0;
  virtual void begin_exits(const BeginExitsArgs& args) = 0;
  virtual void start_exit_clock(const ExitState& state) = 0;  // a test begins
  virtual void test_exits(const TestExitsArgs& args) = 0;     // and ends
  virtual void copy_rows_if(const CopyRowsArgs& args) = 0;

  // Measured in this process, on first use: reading a buffer far larger than the caches with all
  // threads, and multiply-adds in registers (2 FLOP each) with all threads.
  virtual double peak_read_bytes_per_second() = 0;
  virtual double peak_flops_per_second() = 0;
};

struct DeviceSpec {
  std::string device = "cpu";
  DType dtype = DType::kF32;  // activations and cache
  int threads = 0;            // 0: the machine's cores
};

// The one place that knows which devices this binary was built for. Throws Error naming them.
std::unique_ptr<Backend> make_backend(const DeviceSpec& spec);

}  // namespace skipbench
