#include "cli/input_lines.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "engine/base/error.h"
#include "engine/base/text_file.h"

namespace skipbench {
namespace {

Error too_large(const std::string& path, const char* what) {
  return Error(
      {.what = what, .where = path, .expected = fmt::format("at most {} bytes", kMostTextBytes)});
}

}  // namespace

InputLines::InputLines(const std::string& path) : path_(path), in_(&std::cin) {
  if (path == "-") return;
  in_ = &file_;
  file_.open(path, std::ios::binary);
  const bool opened = file_.is_open();
  const int reason = errno;
  file_.peek();  // a folder opens, but cannot be read
  if (!opened || file_.bad()) {
    throw Error({.what = "cannot read the input file",
                 .where = path,
                 .expected = "a text file, or - for standard input",
                 .got = opened ? "a folder or an unreadable file" : std::strerror(reason)});
  }
  file_.clear();  // the end of an empty file is no failure
}

bool InputLines::next(std::string* line) {
  line->clear();
  bool failed = false;
  try {
    std::streambuf& buffer = *in_->rdbuf();  // std::getline has no limit
    for (int byte = buffer.sbumpc(); byte != EOF; byte = buffer.sbumpc()) {
      if (byte == '\n') return true;
      line->push_back(static_cast<char>(byte));
      if (line->size() > kMostTextBytes) throw too_large(path_, "a line of the input is too long");
    }
    failed = in_ == &std::cin && std::ferror(stdin) != 0;
  } catch (const std::ios_base::failure&) {
    failed = true;
  }
  if (failed) throw Error({.what = "error while reading the input", .where = path_});
  return !line->empty();
}

std::vector<std::string> read_input_lines(const std::string& path) {
  InputLines input(path);
  std::vector<std::string> lines;
  size_t bytes = 0;
  for (std::string line; input.next(&line);) {
    bytes += line.size() + 1;
    if (bytes > kMostTextBytes) throw too_large(path, "the input is too large");
    lines.push_back(line);
  }
  return lines;
}

bool is_stream(const std::string& path) {
  std::error_code unknown;  // what is not there is no stream
  const std::filesystem::file_status status = std::filesystem::status(path, unknown);
  return path == "-" ||
         (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status) &&
          !std::filesystem::is_directory(status));
}

}  // namespace skipbench
