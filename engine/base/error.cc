#include "engine/base/error.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "engine/base/printable.h"

namespace skipbench {
namespace {

std::string format_message(const ErrorParts& parts) {
  std::string message;
  if (!parts.where.empty()) message += parts.where + ": ";
  message += parts.what;
  if (!parts.expected.empty()) message += "; expected " + parts.expected;
  if (!parts.got.empty()) message += (parts.expected.empty() ? "; got " : ", got ") + parts.got;
  if (!parts.hint.empty()) message += "; " + parts.hint;
  return printable(message);
}

constexpr size_t kLongestName = 256;  // what is longer is no misspelling

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substituted});
    }
  }
  return row.back();
}

}  // namespace

Error::Error(ErrorParts parts)
    : std::runtime_error(format_message(parts)), parts_(std::move(parts)) {}

std::string nearest_names(std::string_view name, std::span<const std::string> known) {
  name = name.substr(0, kLongestName);
  std::vector<std::string> sorted(known.begin(), known.end());
  std::stable_sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) {
    return edit_distance(name, a) < edit_distance(name, b);
  });
  std::string joined;
  for (const std::string& candidate : sorted) {
    if (!joined.empty()) joined += ", ";
    joined += candidate;
  }
  return joined;
}

Error unknown_name(std::string_view kind, std::string_view name, std::span<const std::string> known,
                   std::string where) {
  return Error({.what = "unknown " + std::string(kind) + " '" + std::string(name) + "'",
                .where = std::move(where),
                .hint = "known (nearest first): " + nearest_names(name, known)});
}

}  // namespace skipbench
