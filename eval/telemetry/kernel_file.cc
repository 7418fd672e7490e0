#include "eval/telemetry/kernel_file.h"

#include <charconv>
#include <fstream>

namespace skipbench {
namespace {

constexpr size_t kMostLineBytes = 4096;
constexpr std::string_view kBlanks = " \t\r\n";

}  // namespace

std::optional<std::string> kernel_line(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string line(kMostLineBytes, '\0');
  file.read(line.data(), static_cast<std::streamsize>(line.size()));
  if (file.bad() || file.gcount() <= 0) return std::nullopt;
  line.resize(static_cast<size_t>(file.gcount()));
  return line.substr(0, line.find('\n'));
}

std::optional<int64_t> parse_kernel_number(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return std::nullopt;
  text = text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<int64_t> kernel_number(const std::string& path) {
  const auto line = kernel_line(path);
  if (!line) return std::nullopt;
  return parse_kernel_number(*line);
}

}  // namespace skipbench
