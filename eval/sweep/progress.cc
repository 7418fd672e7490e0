#include "eval/sweep/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace skipbench {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kLogEvery = std::chrono::seconds(15);
constexpr int kBarWidth = 20;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string bar(double share) {
  const int filled = std::clamp(static_cast<int>(share * kBarWidth), 0, kBarWidth);
  return std::string(filled, '#') + std::string(kBarWidth - filled, '.');
}

std::string time_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::lround(seconds));
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

Progress::Progress(std::ostream& out, bool is_terminal, double total_work)
    : out_(out), is_terminal_(is_terminal), total_work_(std::max(1.0, total_work)) {}

Progress::~Progress() { clear_line(); }

void Progress::begin(const std::string& name, double work) {
  name_ = name;
  work_ = work;
  share_ = 0;
  tokens_ = 0;
  step_start_ = Clock::now();
  draw(/*force=*/true);
}

void Progress::add_tokens(int64_t tokens) {
  tokens_ += tokens;
  draw(/*force=*/false);
}

void Progress::set_share(double share) {
  share_ = share;
  draw(/*force=*/false);
}

void Progress::end() {
  share_ = 1;
  draw(/*force=*/true);
  done_work_ += work_;
  work_ = share_ = 0;
}

void Progress::message(const std::string& text) {
  clear_line();
  out_ << text << std::endl;
}

void Progress::clear_line() {
  if (!line_is_open_) return;
  out_ << "\r\033[K" << std::flush;
  line_is_open_ = false;
}

void Progress::draw(bool force) {
  const auto now = Clock::now();
  const auto interval = is_terminal_ ? Clock::duration(kRedraw) : Clock::duration(kLogEvery);
  if (!force && now - last_draw_ < interval) return;
  if (!is_terminal_ && share_ == 0 && force) return;  // the end of the step says it all
  last_draw_ = now;
  const double share = std::min(1.0, done() / total_work_);
  const double elapsed = seconds_since(start_);
  const std::string left = share > 0.01 ? time_text(elapsed * (1 - share) / share) : "?";
  const double rate = static_cast<double>(tokens_) / std::max(1e-9, seconds_since(step_start_));
  const std::string line = fmt::format("[{}] {:3.0f}%  {}  {:.1f} tokens/s  {} left", bar(share),
                                       100 * share, name_, rate, left);
  if (is_terminal_) {
    out_ << "\r\033[K" << line << std::flush;
    line_is_open_ = true;
  } else {
    out_ << line << std::endl;
  }
}

}  // namespace skipbench
