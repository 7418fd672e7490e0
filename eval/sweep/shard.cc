#include "eval/sweep/shard.h"

#include <fmt/format.h>

#include <charconv>
#include <map>

#include "engine/base/error.h"

namespace skipbench {

Shard parse_shard(const std::string& text) {
  Shard shard;
  const char* const end = text.data() + text.size();
  const auto [slash, first] = std::from_chars(text.data(), end, shard.index);
  bool good = first == std::errc() && slash != end && *slash == '/';
  if (good) {
    const auto [rest, second] = std::from_chars(slash + 1, end, shard.count);
    good = second == std::errc() && rest == end;
  }
  if (good && shard.index >= 1 && shard.index <= shard.count) return shard;
  throw Error({.what = "not a shard",
               .where = "--shard",
               .expected = "I/N with 1 <= I <= N, as in 2/5",
               .got = "'" + text + "'"});
}

std::vector<std::vector<bool>> cells_of_shard(std::span<const SweepSetup> variants, Shard shard) {
  std::map<std::string, size_t> units;  // by what makes it one
  std::vector<std::vector<bool>> ours;
  for (size_t v = 0; v < variants.size(); ++v) {
    std::vector<bool>& flags = ours.emplace_back();
    for (const Cell& cell : variants[v].cells) {
      const std::string unit =
          cell.key.kind == "quality"
              ? cell.identity
              : fmt::format("timing {} {} {}", v, cell.dataset, cell.key.batch);
      const size_t number = units.emplace(unit, units.size()).first->second;
      flags.push_back(number % static_cast<size_t>(shard.count) ==
                      static_cast<size_t>(shard.index - 1));
    }
  }
  return ours;
}

}  // namespace skipbench
