#include "engine/base/text_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace skipbench {

namespace {

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

constexpr const char* kStandardInput = "/dev/stdin";

// What the shell writes for `<(...)`.
bool is_shell_pipe(const std::string& path) {
  return path.starts_with("/dev/fd/") || path.starts_with("/proc/self/fd/");
}

// Opens without waiting for a named pipe's writer. Standard input is what it is: opened by its
// name, a socket could not be read.
int open_file(const std::string& path, bool allow_pipe) {
  if (allow_pipe && path == kStandardInput) {
    const int fd = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0) return fd;
    throw Error({.what = fmt::format("cannot read standard input: {}", std::strerror(errno)),
                 .where = path});
  }
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (file.fd < 0 || ::fstat(file.fd, &status) != 0) {
    throw Error({.what = fmt::format("cannot open file: {}", std::strerror(errno)), .where = path});
  }
  if (S_ISDIR(status.st_mode)) {
    throw Error({.what = "is a folder", .where = path, .expected = "a text file"});
  }
  const bool pipe = S_ISFIFO(status.st_mode) && allow_pipe && is_shell_pipe(path);
  if (!pipe && !S_ISREG(status.st_mode)) {
    throw Error({.what = "not a regular file",
                 .where = path,
                 .expected = "a text file",
                 .got = S_ISFIFO(status.st_mode) ? "a pipe" : "a device or a socket"});
  }
  ::fcntl(file.fd, F_SETFL, 0);
  return std::exchange(file.fd, -1);
}

[[noreturn]] void fail_large(const std::string& path, size_t most_bytes) {
  throw Error({.what = "file too large",
               .where = path,
               .expected = fmt::format("at most {} bytes", most_bytes)});
}

}  // namespace

std::string read_text_file(const std::string& path, size_t most_bytes) {
  const int fd = open_file(path, /*allow_pipe=*/true);
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzdopen(fd, "rb"), gzclose);
  if (!file) {
    ::close(fd);
    throw Error({.what = "cannot open file: out of memory", .where = path});
  }
  std::string text, chunk(1 << 16, '\0');
  int bytes = 0;
  while ((bytes = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()))) > 0) {
    if (text.size() + static_cast<size_t>(bytes) > most_bytes) fail_large(path, most_bytes);
    text.append(chunk, 0, bytes);
  }
  int status = Z_OK;
  const char* message = gzerror(file.get(), &status);
  if (bytes < 0 || status != Z_OK) {  // a truncated gzip file ends with Z_BUF_ERROR
    throw Error({.what = fmt::format("cannot read file: {}",
                                     status == Z_ERRNO ? std::strerror(errno) : message),
                 .where = path,
                 .hint = "the file is damaged or incomplete"});
  }
  return text;
}

std::string read_small_file(const std::string& path, size_t most_bytes) {
  const Descriptor file{open_file(path, /*allow_pipe=*/false)};
  std::string text, chunk(1 << 16, '\0');
  while (true) {
    const ssize_t bytes = ::read(file.fd, chunk.data(), chunk.size());
    if (bytes == 0) return text;
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) {
      throw Error(
          {.what = fmt::format("cannot read file: {}", std::strerror(errno)), .where = path});
    }
    if (text.size() + static_cast<size_t>(bytes) > most_bytes) fail_large(path, most_bytes);
    text.append(chunk, 0, static_cast<size_t>(bytes));
  }
}

std::vector<std::string> read_text_lines(const std::string& path, CarriageReturn carriage_return) {
  const bool drop = carriage_return == CarriageReturn::kDrop;
  const std::string text = read_text_file(path);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    size_t length = end - begin;
    if (drop && length > 0 && text[end - 1] == '\r') --length;
    lines.push_back(text.substr(begin, length));
    if (const size_t bad = find_invalid_utf8(lines.back()); bad != std::string::npos) {
      throw Error({.what = "not valid UTF-8",
                   .where = fmt::format("{}:{}", path, lines.size()),
                   .got = fmt::format("byte 0x{:02x} at column {} of the line",
                                      static_cast<unsigned char>(lines.back()[bad]), bad + 1)});
    }
    begin = end + 1;
  }
  return lines;
}

}  // namespace skipbench
