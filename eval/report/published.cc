#include "eval/report/published.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "engine/base/text_file.h"

namespace skipbench {

std::optional<double> PublishedNumbers::total_per_second(int64_t batch, double target,
                                                         const std::string& strategy) const {
  for (const Row& row : rows) {
    if (row.batch == batch && row.target == target && row.strategy == strategy) {
      return row.total_tokens_per_second;
    }
  }
  return std::nullopt;
}

std::optional<double> PublishedNumbers::speedup(int64_t batch, double target,
                                                const std::string& strategy) const {
  const auto own = total_per_second(batch, target, strategy);
  const auto full = total_per_second(batch, 1, "full");
  if (!own || !full) return std::nullopt;
  return *own / *full;
}

PublishedNumbers read_published(const std::string& name, const std::string& path) {
  using Json = nlohmann::json;
  const Json json = Json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
  PublishedNumbers numbers{.name = name};
  const auto refuse = [&](const std::string& where, const std::string& got) {
    return Error({.what = "not a file of published numbers",
                  .where = where,
                  .expected = "a JSON object of `source` and `rows`, as in "
                              "results/paper_table4.json",
                  .got = got});
  };
  if (!json.is_object()) throw refuse(path, json.is_discarded() ? "no JSON" : json.type_name());
  size_t row_index = 0;
  try {
    numbers.source = json.at("source").get<std::string>();
    for (const Json& row : json.at("rows")) {
      numbers.rows.push_back({row.at("batch").get<int64_t>(), row.at("target").get<double>(),
                              row.at("strategy").get<std::string>(),
                              row.at("total_tokens_per_second").get<double>()});
      if (!(numbers.rows.back().total_tokens_per_second > 0)) {
        throw Error({.what = "a throughput that is none",
                     .where = fmt::format("{}: rows[{}]", path, row_index)});
      }
      ++row_index;
    }
  } catch (const Json::exception& error) {
    const std::string message = error.what();  // "[json.exception.out_of_range.403] key ..."
    throw refuse(fmt::format("{}: rows[{}]", path, row_index),
                 message.substr(message.find("] ") + 2));
  }
  return numbers;
}

}  // namespace skipbench
