// What a row of one results file is called in another.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>

#include "eval/store/database.h"

namespace skipbench {

// Ids of one input's rows in the output.
class IdMap {
 public:
  explicit IdMap(std::string kind) : kind_(std::move(kind)) {}

  // Forgets the input before.
  void begin_file(const std::string& name) {
    file_ = name;
    ids_.clear();
  }

  int64_t& operator[](int64_t id) { return ids_[id]; }
  const std::map<int64_t, int64_t>& all() const { return ids_; }

  // Throws StoreError for a row that the input refers to and does not hold.
  int64_t at(int64_t id) const {
    const auto found = ids_.find(id);
    if (found != ids_.end()) return found->second;
    throw StoreError({.what = fmt::format("a damaged results file: it names {} {} and does not "
                                          "hold it",
                                          kind_, id),
                      .where = file_,
                      .hint = "restore a copy, or leave the file out"});
  }

 private:
  std::string kind_, file_;
  std::map<int64_t, int64_t> ids_;
};

}  // namespace skipbench
