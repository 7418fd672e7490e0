#include "cli/token_lines.h"

#include <cmath>
#include <limits>

#include "engine/base/error.h"

namespace skipbench {

std::vector<int32_t> token_ids_from_json(const nlohmann::json& value, const std::string& where) {
  const auto refuse = [&](const std::string& got) {
    return Error({.what = "not a list of token ids",
                  .where = where,
                  .expected = "a JSON array of whole numbers, such as [1, 15, 7]",
                  .got = got});
  };
  if (!value.is_array()) throw refuse(value.type_name());
  constexpr uint64_t kLargest = std::numeric_limits<int32_t>::max();
  constexpr int64_t kSmallest = std::numeric_limits<int32_t>::min();
  std::vector<int32_t> ids;
  ids.reserve(value.size());
  for (const nlohmann::json& id : value) {
    // nlohmann compares an unsigned number above 2^63 as a negative one.
    const bool too_large = id.is_number_unsigned() && id.get<uint64_t>() > kLargest;
    if (!id.is_number_integer() || too_large || id.get<int64_t>() < kSmallest) {
      throw refuse(id.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

nlohmann::json parse_json_line(const std::string& line, const std::string& where) {
  // The parser does not recurse, but copying and printing a value does.
  constexpr int kMaxDepth = 64;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth <= kMaxDepth) return true;
    throw Error({.what = "JSON nested too deep",
                 .where = where,
                 .expected = "at most " + std::to_string(kMaxDepth) + " levels"});
  };
  try {
    return nlohmann::json::parse(line, watch);
  } catch (const nlohmann::json::exception& error) {
    const std::string message = error.what();
    const size_t end_of_id = message.find("] ");  // "[json.exception.parse_error.101] parse ..."
    throw Error({.what = "not JSON",
                 .where = where,
                 .expected = "one JSON value on each line",
                 .got = line.empty() ? "an empty line" : "",
                 .hint = end_of_id == std::string::npos ? message : message.substr(end_of_id + 2)});
  }
}

void check_positions(int64_t positions, const ModelConfig& config, const std::string& where) {
  if (config.max_positions <= 0 || positions <= config.max_positions) return;
  throw Error({.what = "more tokens than the model has positions for",
               .where = where,
               .expected = "at most " + std::to_string(config.max_positions),
               .got = std::to_string(positions),
               .hint = "leave the line out or shorten it"});
}

nlohmann::json layers_to_json(const std::vector<double>& layers) {
  nlohmann::json list = nlohmann::json::array();
  for (double count : layers) {
    if (count == std::floor(count)) {
      list.push_back(static_cast<int64_t>(count));
    } else {
      list.push_back(count);
    }
  }
  return list;
}

}  // namespace skipbench
