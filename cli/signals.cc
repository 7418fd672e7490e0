#include "cli/signals.h"

#include <unistd.h>

#include <csignal>

#include "cli/commands.h"

namespace skipbench {
namespace {

// Only what may be called in a signal handler.
void end_interrupted(int) {
  constexpr char kMessage[] = "skipbench: interrupted\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(static_cast<int>(ExitCode::kInterrupted));
}

// SIGBUS of a page whose file no longer has it, or whose disk does not answer; any other one kills,
// as it would without a handler.
void end_unmapped(int signal, siginfo_t* info, void*) {
  if (info->si_code != BUS_ADRERR) {
    struct sigaction kill = {};
    kill.sa_handler = SIG_DFL;
    sigaction(signal, &kill, nullptr);
    raise(signal);
    return;
  }
  constexpr char kMessage[] =
      "skipbench: a mapped file can no longer be read: the model (or another file that was read) "
      "was "
      "cut short or replaced in place, or its disk fails; put it back and run the command again\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  _exit(static_cast<int>(ExitCode::kWrongInput));
}

}  // namespace

void install_signal_handlers() {
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
  sigaction(SIGXFSZ, &ignore, nullptr);  // a write beyond `ulimit -f` fails like one on a full disk
  struct sigaction end = {};
  end.sa_handler = end_interrupted;
  sigemptyset(&end.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction old = {};
    sigaction(signal, nullptr, &old);
    if (old.sa_handler != SIG_IGN) sigaction(signal, &end, nullptr);
  }
  struct sigaction unmapped = {};
  unmapped.sa_sigaction = end_unmapped;
  unmapped.sa_flags = SA_SIGINFO;
  sigemptyset(&unmapped.sa_mask);
  sigaction(SIGBUS, &unmapped, nullptr);
}

}  // namespace skipbench
