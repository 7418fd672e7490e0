#include "cli/output.h"

#include <poll.h>
#include <unistd.h>

#include <iostream>

#include "cli/commands.h"
#include "engine/base/error.h"

namespace skipbench {
namespace {

// errno is gone by the time a stream reports a failure, but a pipe without a reader says so itself.
bool reader_has_left() {
  pollfd output = {.fd = STDOUT_FILENO, .events = 0, .revents = 0};
  return poll(&output, 1, 0) > 0 && (output.revents & POLLERR) != 0;
}

}  // namespace

void flush_output() {
  std::cout.flush();
  if (std::cout) return;
  if (reader_has_left()) throw ExitWith{ExitCode::kInterrupted};
  throw Error({.what = "could not write to standard output",
               .where = "stdout",
               .hint = "is the disk full, or the output closed?"});
}

}  // namespace skipbench
