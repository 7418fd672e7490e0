#include "cli/output.h"

#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "cli/commands.h"
#include "engine/base/error.h"
#include "eval/store/database.h"

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

void check_output(const std::string& path, const std::string& input, const std::string& flag) {
  std::error_code error;
  if (std::filesystem::equivalent(path, input, error)) {
    throw Error({.what = "would be written over what is read",
                 .where = flag,
                 .expected = "another file than " + input,
                 .got = path});
  }
  check_no_database(path, flag);
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes << std::flush;
  if (file) return;
  throw Error({.what = "cannot write the file",
               .where = path,
               .hint = "does the folder exist, and is there room on the disk?"});
}

}  // namespace skipbench
