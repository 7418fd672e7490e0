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
  std::vector<int32_t> ids;
  ids.reserve(value.size());
  for (const nlohmann::json& id : value) {
    if (!id.is_number_integer() || id < std::numeric_limits<int32_t>::min() ||
        id > std::numeric_limits<int32_t>::max()) {
      throw refuse(id.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

nlohmann::json parse_json_line(const std::string& line, const std::string& where) {
  try {
    return nlohmann::json::parse(line);
  } catch (const nlohmann::json::exception& error) {
    throw Error({.what = "not JSON", .where = where, .hint = error.what()});
  }
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
