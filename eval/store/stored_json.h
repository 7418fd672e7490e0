// JSON that a results file holds, which anyone may have changed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "eval/store/database.h"

namespace skipbench {

// What `read` returns, which parses stored JSON and takes it apart. Where that fails, throws
// StoreError: the file `path` holds a damaged `what` ("value", "configuration").
template <typename Read>
auto read_stored(const std::string& path, const std::string& what, const Read& read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    throw StoreError({.what = "results file: a stored " + what + " is damaged",
                      .where = path,
                      .expected = "the JSON that skipbench writes there",
                      .got = error.what(),
                      .hint = "restore a copy, or remove it and run again"});
  }
}

// A stored JSON text as a value.
template <typename Value>
Value stored_value(const Database& database, const std::string& text) {
  return read_stored(database.path(), "value",
                     [&] { return nlohmann::ordered_json::parse(text).template get<Value>(); });
}

}  // namespace skipbench
