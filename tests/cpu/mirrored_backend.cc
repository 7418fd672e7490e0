#include "tests/cpu/mirrored_backend.h"

#include <algorithm>
#include <map>

namespace skipbench::cpu_test {
namespace {

// Device copies of one operation's operands. Operands that begin at the same address are one.
class Mirror {
 public:
  explicit Mirror(Backend& device) : device_(device) {}

  template <typename T>
  T* copy(T* host, int64_t count) {
    using Plain = std::remove_const_t<T>;
    if (host == nullptr) return nullptr;
    return static_cast<T*>(
        copy_bytes(const_cast<Plain*>(host), static_cast<size_t>(count) * sizeof(T)));
  }

  Matrix copy(Matrix matrix) {
    if (matrix.data == nullptr) return matrix;
    const int64_t elements = (matrix.rows - 1) * matrix.stride + matrix.cols;
    matrix.data = copy_bytes(matrix.data, static_cast<size_t>(bytes_of(matrix.type, elements)));
    return matrix;
  }

  RowTable copy(const RowTable& rows) {
    return {rows.rows, copy(rows.token, rows.rows), copy(rows.sequence, rows.rows),
            copy(rows.position, rows.rows), rows.single_rows};
  }

  ExitState copy(const ExitState& state) {
    if (state.rows == 0) return state;
    return {state.rows,
            copy(state.running, state.rows),
            copy(state.any_running, 1),
            copy(state.none_running, 1),
            copy(state.chosen, state.rows),
            copy(state.sublayers, state.rows),
            copy(state.tests, state.rows),
            copy(state.step, state.rows),
            copy(state.clock_ns, 2)};
  }

  KvView copy(KvView view, const ModelConfig& config, const RowTable& rows) {
    const int64_t sequences = 1 + *std::max_element(rows.sequence, rows.sequence + rows.rows);
    const int64_t elements = sequences * config.num_kv_heads * view.capacity * config.head_dim;
    const auto bytes = static_cast<size_t>(bytes_of(view.type, elements));
    view.keys = copy_bytes(view.keys, bytes);
    view.values = copy_bytes(view.values, bytes);
    view.present = copy(view.present, sequences * view.capacity);
    view.source = copy(view.source, sequences * view.capacity);  // names no others
    return view;
  }

  // Everything back: what an operation must not change comes back unchanged, or a test fails.
  void finish() {
    for (const auto& [host, range] : ranges_)
      device_.download(host, range.memory.get(), range.bytes);
    device_.forget_weights();
  }

 private:
  struct Range {
    DeviceBuffer memory;
    size_t bytes = 0;
  };

  void* copy_bytes(void* host, size_t bytes) {
    Range& range = ranges_[host];
    if (range.memory == nullptr) {
      range = {device_.allocate(bytes), bytes};
      device_.upload(range.memory.get(), host, bytes);
    }
    return range.memory.get();
  }

  Backend& device_;
  std::map<void*, Range> ranges_;
};

class MirroredBackend : public Backend {
 public:
  explicit MirroredBackend(std::unique_ptr<Backend> device) : device_(std::move(device)) {}

  std::string name() const override { return device_->name(); }
  std::string device_name() const override { return device_->device_name(); }
  DType activation_type() const override { return device_->activation_type(); }

  DeviceBuffer allocate(size_t bytes) override { return device_->allocate(bytes); }
  void upload(void* to, const void* from, size_t bytes) override {
    device_->upload(to, from, bytes);
  }
  void download(void* to, const void* from, size_t bytes) override {
    device_->download(to, from, bytes);
  }
  void fill_zero(void* memory, size_t bytes) override { device_->fill_zero(memory, bytes); }
  void synchronise() override { device_->synchronise(); }

  void embed(const EmbedArgs& host) override {
    Mirror mirror(*device_);
    EmbedArgs args = host;
    args.rows = mirror.copy(host.rows);
    args.out = mirror.copy(host.out);
    device_->embed(args);
    mirror.finish();
  }

  void norm(const NormArgs& host) override {
    Mirror mirror(*device_);
    NormArgs args = host;
    args.in = mirror.copy(host.in);
    args.out = mirror.copy(host.out);
    device_->norm(args);
    mirror.finish();
  }

  void linear(const LinearArgs& host) override {
    Mirror mirror(*device_);
    LinearArgs args = host;
    args.in = mirror.copy(host.in);
    args.residual = mirror.copy(host.residual);
    args.out = mirror.copy(host.out);
    device_->linear(args);
    mirror.finish();
  }

  void append_kv(const AppendKvArgs& host) override {
    Mirror mirror(*device_);
    AppendKvArgs args = host;
    args.rows = mirror.copy(host.rows);
    args.qkv = mirror.copy(host.qkv);
    args.cache = mirror.copy(host.cache, *host.config, host.rows);
    device_->append_kv(args);
    mirror.finish();
  }

  void attend(const AttendArgs& host) override {
    Mirror mirror(*device_);
    AttendArgs args = host;
    args.rows = mirror.copy(host.rows);
    args.qkv = mirror.copy(host.qkv);
    args.cache = mirror.copy(host.cache, *host.config, host.rows);
    args.out = mirror.copy(host.out);
    device_->attend(args);
    mirror.finish();
  }

  void gather_rows(const GatherRowsArgs& host) override {
    Mirror mirror(*device_);
    device_->gather_rows(
        {mirror.copy(host.in), mirror.copy(host.index, host.out.rows), mirror.copy(host.out)});
    mirror.finish();
  }

  void next_token(const NextTokenArgs& host) override {
    Mirror mirror(*device_);
    device_->next_token(
        {mirror.copy(host.logits), host.with_entropy, mirror.copy(host.out, host.logits.rows)});
    mirror.finish();
  }

  void sample(const SampleArgs& host) override {
    Mirror mirror(*device_);
    const int64_t rows = host.logits.rows;
    device_->sample({mirror.copy(host.logits), host.sampling, mirror.copy(host.text, rows),
                     mirror.copy(host.position, rows), mirror.copy(host.out, rows)});
    mirror.finish();
  }

  void log_prob(const LogProbArgs& host) override {
    Mirror mirror(*device_);
    device_->log_prob({mirror.copy(host.logits), mirror.copy(host.target, host.logits.rows),
                       mirror.copy(host.out, host.logits.rows)});
    mirror.finish();
  }

  void cosine(const CosineArgs& host) override {
    Mirror mirror(*device_);
    device_->cosine({mirror.copy(host.a), mirror.copy(host.b), mirror.copy(host.out, host.a.rows)});
    mirror.finish();
  }

  void scale(const ScaleArgs& host) override {
    Mirror mirror(*device_);
    device_->scale({mirror.copy(host.rows), host.factor});
    mirror.finish();
  }

  // `results` go to device memory here too; the engine gives memory that both sides reach.
  void advance(const AdvanceArgs& host) override {
    Mirror mirror(*device_);
    AdvanceArgs args = host;
    args.next = mirror.copy(host.next, host.rows);
    args.ends = mirror.copy(host.ends, host.num_ends);
    args.token = mirror.copy(host.token, host.rows);
    args.position = mirror.copy(host.position, host.rows);
    args.finished = mirror.copy(host.finished, host.rows);
    args.step = mirror.copy(host.step, host.rows);
    args.results = mirror.copy(host.results, host.slots * host.rows);
    args.exits = mirror.copy(host.exits);
    device_->advance(args);
    mirror.finish();
  }

  void begin_exits(const BeginExitsArgs& host) override {
    Mirror mirror(*device_);
    device_->begin_exits({mirror.copy(host.state), mirror.copy(host.finished, host.state.rows)});
    mirror.finish();
  }

  void start_exit_clock(const ExitState& host) override {
    Mirror mirror(*device_);
    device_->start_exit_clock(mirror.copy(host));
    mirror.finish();
  }

  void test_exits(const TestExitsArgs& host) override {
    Mirror mirror(*device_);
    TestExitsArgs args = host;
    args.state = mirror.copy(host.state);
    args.next = mirror.copy(host.next, host.state.rows);
    args.thresholds = mirror.copy(host.thresholds, host.num_thresholds);
    args.depths = mirror.copy(host.depths, host.num_depths);
    args.texts = mirror.copy(host.texts, host.texts == nullptr ? 0 : host.state.rows);
    device_->test_exits(args);
    mirror.finish();
  }

  void copy_rows_if(const CopyRowsArgs& host) override {
    Mirror mirror(*device_);
    device_->copy_rows_if({mirror.copy(host.in), mirror.copy(host.out),
                           mirror.copy(host.flag, host.in.rows), host.value});
    mirror.finish();
  }

  double peak_read_bytes_per_second() override { return device_->peak_read_bytes_per_second(); }
  double peak_flops_per_second() override { return device_->peak_flops_per_second(); }

 private:
  std::unique_ptr<Backend> device_;
};

}  // namespace

std::unique_ptr<Backend> mirror_host_memory(std::unique_ptr<Backend> device) {
  return std::make_unique<MirroredBackend>(std::move(device));
}

}  // namespace skipbench::cpu_test
