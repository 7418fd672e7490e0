// Files that are no files, and files without an end.
#include "engine/base/text_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "engine/base/error.h"
#include "tests/temp_folder.h"

namespace skipbench {
namespace {

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class Files : public testing::Test {
 protected:
  ~Files() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_ = make_temp_folder("file");
};

TEST_F(Files, PipesAndDevicesAreRefused) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);  // without a writer: opening it would wait
  for (const auto& read : std::vector<std::function<std::string(const std::string&)>>{
           [](const std::string& file) { return read_text_file(file); },
           [](const std::string& file) { return read_small_file(file); }}) {
    EXPECT_NE(message_of([&] { read(path("pipe")); }).find("not a regular file"),
              std::string::npos);
    EXPECT_EQ(message_of([&] { read("/dev/zero"); }),
              "/dev/zero: not a regular file; expected a text file, got a device or a socket");
    EXPECT_NE(message_of([&] { read(folder_.string()); }).find("is a folder"), std::string::npos);
    EXPECT_NE(message_of([&] { read(path("nowhere")); }).find("No such file"), std::string::npos);
  }
}

// score -r <(zcat reference.gz)
TEST_F(Files, APipeOfTheShellIsText) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "text\n", 5), 5);
  close(ends[1]);
  const std::string file = "/dev/fd/" + std::to_string(ends[0]);
  EXPECT_NE(message_of([&] { read_small_file(file); }).find("got a pipe"), std::string::npos);
  EXPECT_EQ(read_text_file(file), "text\n");
  close(ends[0]);
}

TEST_F(Files, SizeIsBounded) {
  std::ofstream(path("plain")) << std::string(1000, 'x');
  gzFile file = gzopen(path("packed").c_str(), "wb");
  gzwrite(file, std::string(1000, 'x').data(), 1000);
  gzclose(file);
  EXPECT_EQ(read_small_file(path("plain"), 1000).size(), 1000u);
  EXPECT_EQ(read_text_file(path("packed"), 1000).size(), 1000u);
  EXPECT_EQ(message_of([&] { read_small_file(path("plain"), 999); }),
            path("plain") + ": file too large; expected at most 999 bytes");
  EXPECT_EQ(message_of([&] { read_text_file(path("packed"), 999); }),
            path("packed") + ": file too large; expected at most 999 bytes");
}

}  // namespace
}  // namespace skipbench
