// A backend that counts what passes through each projection, beside the engine's own count.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "engine/backend.h"

namespace skipbench {

// Every operation is `backend`'s, a synchronous device's.
class CountingBackend : public Backend {
 public:
  explicit CountingBackend(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}

  // Rows that the projection was multiplied with, since the beginning.
  int64_t rows_through(const Projection& projection) const {
    const auto found = rows_.find(&projection);
    return found == rows_.end() ? 0 : found->second;
  }

  std::string name() const override { return backend_->name(); }
  std::string device_name() const override { return backend_->device_name(); }
  DType activation_type() const override { return backend_->activation_type(); }
  DeviceBuffer allocate(size_t bytes) override { return backend_->allocate(bytes); }
  void upload(void* to, const void* from, size_t bytes) override {
    backend_->upload(to, from, bytes);
  }
  void download(void* to, const void* from, size_t bytes) override {
    backend_->download(to, from, bytes);
  }
  void fill_zero(void* memory, size_t bytes) override { backend_->fill_zero(memory, bytes); }
  void forget_weights() override { backend_->forget_weights(); }

  void embed(const EmbedArgs& args) override { backend_->embed(args); }
  void norm(const NormArgs& args) override { backend_->norm(args); }
  void linear(const LinearArgs& args) override {
    rows_[args.projection] += args.in.rows;
    backend_->linear(args);
  }
  void append_kv(const AppendKvArgs& args) override { backend_->append_kv(args); }
  void attend(const AttendArgs& args) override { backend_->attend(args); }
  void gather_rows(const GatherRowsArgs& args) override { backend_->gather_rows(args); }
  void next_token(const NextTokenArgs& args) override { backend_->next_token(args); }
  void sample(const SampleArgs& args) override { backend_->sample(args); }
  void log_prob(const LogProbArgs& args) override { backend_->log_prob(args); }
  void cosine(const CosineArgs& args) override { backend_->cosine(args); }
  void scale(const ScaleArgs& args) override { backend_->scale(args); }
  void advance(const AdvanceArgs& args) override { backend_->advance(args); }
  void begin_exits(const BeginExitsArgs& args) override { backend_->begin_exits(args); }
  void start_exit_clock(const ExitState& state) override { backend_->start_exit_clock(state); }
  void test_exits(const TestExitsArgs& args) override { backend_->test_exits(args); }
  void copy_rows_if(const CopyRowsArgs& args) override { backend_->copy_rows_if(args); }

  double peak_read_bytes_per_second() override { return backend_->peak_read_bytes_per_second(); }
  double peak_flops_per_second() override { return backend_->peak_flops_per_second(); }

 private:
  std::unique_ptr<Backend> backend_;
  std::map<const Projection*, int64_t> rows_;
};

}  // namespace skipbench
