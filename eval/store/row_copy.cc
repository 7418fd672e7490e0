#include "eval/store/row_copy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace skipbench {

int64_t copy_row(Statement& from, Database& output, const std::string& table,
                 const Replaced& replaced) {
  std::vector<std::string> names;
  for (int i = 0; i < from.columns(); ++i) names.push_back(from.name(i));
  Statement insert(output,
                   fmt::format("INSERT INTO {}({}) VALUES({})", table, fmt::join(names, ", "),
                               fmt::join(std::vector<std::string>(names.size(), "?"), ", ")));
  for (int i = 0; i < from.columns(); ++i) {
    const auto found = replaced.find(names[i]);
    if (found == replaced.end()) {
      insert.bind_column(i + 1, from, i);
    } else if (found->second) {
      insert.bind_at(i + 1, *found->second);
    }
  }
  insert.run();
  return output.last_insert_id();
}

}  // namespace skipbench
