#include "engine/base/subprocess.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/base/error.h"

extern char** environ;

namespace skipbench {
namespace {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

[[noreturn]] void fail(const std::string& program, const char* what, int error) {
  throw Error({.what = fmt::format("cannot {}: {}", what, std::strerror(error)), .where = program});
}

// Ours and the child's end of a stream. Sockets, because writing to a closed one need not signal.
std::pair<Descriptor, Descriptor> stream(const std::string& program) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    fail(program, "make a socket", errno);
  }
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

// The child. Kills its process group when it goes, and reaps it.
class Child {
 public:
  Child(std::span<const std::string> argv, int in, int out, int err) {
    std::vector<char*> arguments;
    for (const std::string& argument : argv) {
      arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    const int error =
        posix_spawnp(&pid_, arguments[0], &actions, &attributes, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) fail(argv[0], "start the program", error);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }

  // Leaves the child unreaped, so that its process group's number stays taken.
  bool has_ended() const {
    siginfo_t info{};
    return waitid(P_PID, pid_, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
  }

  int end() {
    if (pid_ <= 0) return status_;
    kill(-pid_, SIGKILL);
    while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status_;
  }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
};

// Appends what can be read now; false at the end of the stream.
bool drain(int fd, std::string* text) {
  char buffer[1 << 14];
  for (int reads = 0; reads < 64; ++reads) {  // not for ever: a program may write without end
    const ssize_t bytes = read(fd, buffer, sizeof(buffer));
    if (bytes > 0) {
      text->append(buffer, bytes);
    } else if (bytes < 0 && errno == EINTR) {
      continue;
    } else {
      return bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
  }
  return true;
}

}  // namespace

ProcessResult run_process(std::span<const std::string> argv, std::string_view input,
                          double timeout_seconds, size_t max_output_bytes) {
  auto [in, child_in] = stream(argv[0]);
  auto [out, child_out] = stream(argv[0]);
  auto [err, child_err] = stream(argv[0]);
  Child child(argv, child_in.get(), child_out.get(), child_err.get());
  child_in.close();
  child_out.close();
  child_err.close();

  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration<double>(timeout_seconds);
  ProcessResult result;
  bool out_open = true, err_open = true;
  size_t written = 0;
  while (out_open || err_open) {
    const bool ended = child.has_ended();  // asked before the last drain, so nothing is missed
    if (written < input.size() && in.get() >= 0) {
      const ssize_t bytes =
          send(in.get(), input.data() + written, input.size() - written, MSG_NOSIGNAL);
      if (bytes > 0) written += bytes;
      if (bytes < 0 && errno != EAGAIN && errno != EINTR) in.close();  // it reads no further
    }
    if (written == input.size()) in.close();
    out_open = out_open && drain(out.get(), &result.output);
    err_open = err_open && drain(err.get(), &result.errors);
    if (result.output.size() + result.errors.size() > max_output_bytes) {
      throw Error({.what = "the program writes too much",
                   .where = argv[0],
                   .expected = fmt::format("at most {} bytes", max_output_bytes)});
    }
    if (ended) break;
    if (Clock::now() >= deadline) {
      result.timed_out = true;
      break;
    }
    pollfd waits[3] = {{.fd = out_open ? out.get() : -1, .events = POLLIN},
                       {.fd = err_open ? err.get() : -1, .events = POLLIN},
                       {.fd = in.get(), .events = POLLOUT}};
    poll(waits, 3, 20);  // milliseconds: the end of the child is asked for that often
  }
  // Both streams may be closed long before the program ends.
  while (!result.timed_out && !child.has_ended()) {
    poll(nullptr, 0, 20);
    result.timed_out = Clock::now() >= deadline;
  }
  const int status = child.end();
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace skipbench
