#include "engine/base/text_file.h"

#include <fmt/format.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace skipbench {

std::string read_text_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw Error({.what = "is a folder", .where = path, .expected = "a text file"});
  }
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) {
    throw Error({.what = fmt::format("cannot open file: {}", std::strerror(errno)), .where = path});
  }
  std::string text, chunk(1 << 16, '\0');
  int bytes = 0;
  while ((bytes = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()))) > 0) {
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
