// What a sweep is doing, on stderr: one line that is redrawn on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

namespace skipbench {

class Progress {
 public:
  // `total_work`: in layer-tokens of the whole sweep, an estimate from the configuration.
  Progress(std::ostream& out, bool is_terminal, double total_work);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // A step of the sweep: its name, and the work that finishing it adds.
  void begin(const std::string& name, double work);
  void add_tokens(int64_t tokens);  // made by the step so far
  // Share of the step that is done, 0 to 1.
  void set_share(double share);
  void end();
  // A line that stays ("failed: ...").
  void message(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;

  void draw(bool force);
  void clear_line();
  double done() const { return done_work_ + share_ * work_; }

  std::ostream& out_;
  bool is_terminal_;
  double total_work_;
  double done_work_ = 0;
  std::string name_;
  double work_ = 0;
  double share_ = 0;
  int64_t tokens_ = 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point step_start_ = start_;
  Clock::time_point last_draw_;
  bool line_is_open_ = false;
};

}  // namespace skipbench
