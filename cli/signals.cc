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
}

}  // namespace skipbench
