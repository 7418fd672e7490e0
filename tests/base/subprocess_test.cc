#include "engine/base/subprocess.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "engine/base/error.h"

namespace skipbench {
namespace {

ProcessResult shell(const std::string& script, std::string_view input = "", double seconds = 30,
                    size_t limit = size_t{1} << 20) {
  const std::string argv[] = {"/bin/sh", "-c", script};
  return run_process(argv, input, seconds, limit);
}

TEST(Subprocess, PassesInputOutputAndExitCode) {
  const ProcessResult result = shell("cat; echo oops >&2; exit 3", "in");
  EXPECT_EQ(result.output, "in");
  EXPECT_EQ(result.errors, "oops\n");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(shell("kill -9 $$").exit_code, 128 + 9);
}

TEST(Subprocess, MoreThanAPipeHolds) {
  const std::string megabytes(3'000'000, 'x');
  EXPECT_EQ(shell("cat", megabytes, 60, size_t{1} << 23).output, megabytes);
  EXPECT_EQ(shell("head -c 5", megabytes).output, "xxxxx");  // reads only the beginning
  EXPECT_EQ(shell("exec <&-; sleep 0.1; echo done", megabytes).output, "done\n");
}

TEST(Subprocess, KillsTheWholeGroupInTime) {
  const auto start = std::chrono::steady_clock::now();
  const ProcessResult result = shell("sleep 60 & echo $!; wait", "", 0.3);
  EXPECT_TRUE(result.timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  const pid_t grandchild = static_cast<pid_t>(std::stol(result.output));
  // Killed processes may wait a moment for their new parent to reap them.
  for (int i = 0; i < 200 && kill(grandchild, 0) == 0; ++i) {
    const std::string argv[] = {"ps", "-o", "stat=", "-p", std::to_string(grandchild)};
    if (run_process(argv, "", 10).output.starts_with("Z")) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_NE(kill(grandchild, 0), 0);
}

// A program that ends must not keep us waiting for what it left in the background.
TEST(Subprocess, DoesNotWaitForLeftovers) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(shell("sleep 60 & echo out").output, "out\n");
  EXPECT_TRUE(shell("exec >&- 2>&-; sleep 60", "", 0.2).timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Subprocess, Refuses) {
  const std::string argv[] = {"/no/such/program"};
  EXPECT_THROW(run_process(argv, "", 1), Error);
  EXPECT_THROW(shell("yes"), Error);
}

}  // namespace
}  // namespace skipbench
