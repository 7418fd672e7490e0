#include "eval/sweep/interrupt.h"

namespace skipbench {
namespace {

volatile std::sig_atomic_t interrupt_requested = 0;
int living_guards = 0;

void request_interrupt(int) { interrupt_requested = 1; }

}  // namespace

InterruptGuard::InterruptGuard() {
  if (living_guards++ == 0) interrupt_requested = 0;
  struct sigaction action = {};
  action.sa_handler = request_interrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // no system call of ours needs to notice
  sigaction(SIGINT, &action, &old_interrupt_);
  sigaction(SIGTERM, &action, &old_terminate_);
  sigaction(SIGHUP, &action, &old_hangup_);
}

InterruptGuard::~InterruptGuard() {
  --living_guards;
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
  sigaction(SIGHUP, &old_hangup_, nullptr);
}

bool InterruptGuard::requested() { return interrupt_requested != 0; }

}  // namespace skipbench
