// SQLite behind three small classes: every return code becomes an Error with a way out.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/error.h"

namespace skipbench {

// The results file cannot be used (any more): ends a sweep, where another Error fails one cell.
class StoreError : public Error {
 public:
  using Error::Error;
};

// Throws StoreError for a name that the system would cut off at a NUL.
void check_file_name(const std::string& path);

// Throws Error for a place to write to, named by `flag`, that holds a database: it may be results.
void check_no_database(const std::string& path, const std::string& flag);

enum class OpenMode { kReadOnly, kReadWrite };

class Statement;

class Database {
 public:
  // kReadWrite creates a missing file. Throws StoreError: missing, no database, no permission.
  Database(const std::string& path, OpenMode mode);

  // An empty one, lost with the object; `name` is for messages.
  static Database in_memory(const std::string& name);
  // The same contents in memory, under the same name; changes to it are lost.
  Database copy_in_memory() const;

  const std::string& path() const { return path_; }
  void execute(const std::string& sql);  // one or more statements without parameters
  // Whether the last to close the file moves its write-ahead log into it; off: its bytes stay.
  void fold_log_on_close(bool on);
  int64_t last_insert_id() const { return sqlite3_last_insert_rowid(handle_.get()); }
  int64_t changes() const { return sqlite3_changes(handle_.get()); }

  // Throws the StoreError that explains `code`; does nothing for success.
  void check(int code) const;

 private:
  friend class Statement;
  Database() = default;
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };

  std::string path_;
  std::unique_ptr<sqlite3, Close> handle_;
};

// Whether the file there begins as an SQLite database does.
bool holds_database(const std::string& path);

// A prepared statement; parameters are bound in order, columns read by index.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);

  template <typename... Values>
  Statement& bind(const Values&... values) {
    reset();
    int index = 0;
    (bind_one(++index, values), ...);
    return *this;
  }

  bool step();  // true while there is a row
  void run();   // for statements without rows: step, then reset

  // Of a query whose columns are not known beforehand. index() throws Error for an unknown name.
  int columns() const { return sqlite3_column_count(statement_.get()); }
  std::string name(int column) const { return sqlite3_column_name(statement_.get(), column); }
  int index(std::string_view column_name) const;
  // The parameter takes the value as it is, of whatever type.
  void bind_column(int parameter, const Statement& from, int column);
  void bind_at(int parameter, int64_t value) { bind_one(parameter, value); }

  bool is_null(int column) const;
  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };

  void reset();
  void bind_one(int index, int64_t value);
  void bind_one(int index, int value) { bind_one(index, static_cast<int64_t>(value)); }
  void bind_one(int index, bool value) { bind_one(index, static_cast<int64_t>(value)); }
  void bind_one(int index, double value);
  void bind_one(int index, std::string_view value);
  void bind_one(int index, const char* value) { bind_one(index, std::string_view(value)); }
  void bind_one(int index, std::nullptr_t);
  void bind_one(int index, const std::optional<double>& value) {
    value ? bind_one(index, *value) : bind_one(index, nullptr);
  }
  void bind_one(int index, const std::optional<int64_t>& value) {
    value ? bind_one(index, *value) : bind_one(index, nullptr);
  }

  Database& database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// Takes the write lock at once, so that a conflict shows at the beginning; rolls back unless
// committed.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) {
    database_.execute("BEGIN IMMEDIATE");
  }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace skipbench
