#include "eval/store/database.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

namespace skipbench {
namespace {

constexpr int kBusyTimeoutMs = 5000;

std::string hint_for(int code) {
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      return "name a file that `skipbench run` wrote, or another place for results";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return "the file or its folder is read-only: change its permissions or `results:`";
    case SQLITE_FULL:
      return "the disk is full: free space and run again, finished work is kept";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another process is writing to it: wait until it ends";
    case SQLITE_CANTOPEN:
      return "check that the folder exists and can be written";
    case SQLITE_CORRUPT:
      return "the file is damaged: restore a copy, or remove it and run again";
    case SQLITE_IOERR:
      return "reading or writing the disk failed: check its space and health and `ulimit -f`, "
             "then run again";
    default:
      return "";
  }
}

// A read-only folder cannot hold the index of a write-ahead log; with no log left the file can be
// read as it is.
bool has_pending_log(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path + "-wal", error);
  return !error && size > 0;
}

// Of an absolute path behind an empty authority: a relative one may begin with "//" or be
// ":memory:", which mean something else to SQLite.
std::string uri_of(const std::string& path) {
  std::error_code error;
  const std::string absolute = std::filesystem::absolute(path, error).string();
  if (error) throw StoreError({.what = "no such file: " + error.message(), .where = path});
  std::string uri = "file://";
  for (const char c : absolute) {
    if (c == '%' || c == '?' || c == '#') {
      uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri;
}

}  // namespace

void check_file_name(const std::string& path) {
  if (path.find('\0') == std::string::npos) return;
  std::string shown;
  for (const char c : path) shown += c == '\0' ? std::string("\\0") : std::string(1, c);
  throw StoreError({.what = "a file name with a NUL in it",
                    .where = shown,
                    .expected = "a results file",
                    .hint = "name another (run: `results:` or --set results=PATH)"});
}

bool holds_database(const std::string& path) {
  constexpr std::string_view kMagic("SQLite format 3", 16);  // with the NUL
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;  // a pipe would wait
  std::string start(kMagic.size(), ' ');
  std::ifstream(path, std::ios::binary).read(start.data(), std::ssize(start));
  return start == kMagic;
}

void check_no_database(const std::string& path, const std::string& flag) {
  if (!holds_database(path)) return;
  throw Error({.what = "would be written over a database",
               .where = flag,
               .expected = "a name without a file, or one of another kind",
               .got = path,
               .hint = "name another file, or remove this one"});
}

Database::Database(const std::string& path, OpenMode mode) : path_(path) {
  check_file_name(path);
  std::error_code error;
  if (mode == OpenMode::kReadOnly && !std::filesystem::exists(path, error)) {
    throw StoreError({.what = "no such results file",
                      .where = path,
                      .hint = "`skipbench run CONFIG` writes it"});
  }
  if (std::filesystem::is_directory(path, error)) {
    throw StoreError({.what = "is a folder", .where = path, .expected = "a results file (SQLite)"});
  }
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error)) {
    throw StoreError(
        {.what = "not a regular file",
         .where = path,
         .expected = "a results file (SQLite)",
         .got = std::filesystem::is_fifo(path, error) ? "a pipe" : "a device or a socket",
         .hint = "a database is read at any place of it: copy it into a file"});
  }
  const auto open = [&](const std::string& uri) {
    sqlite3* handle = nullptr;
    const int flags = mode == OpenMode::kReadOnly ? SQLITE_OPEN_READONLY
                                                  : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    const int code = sqlite3_open_v2(uri.c_str(), &handle, flags | SQLITE_OPEN_URI, nullptr);
    handle_.reset(handle);
    check(code);
    sqlite3_busy_timeout(handle, kBusyTimeoutMs);
    // Opening reads nothing; this finds out whether it is a database at all.
    return sqlite3_exec(handle, "SELECT count(*) FROM sqlite_master", nullptr, nullptr, nullptr);
  };
  int code = open(uri_of(path));
  const bool no_index = (code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_READONLY;
  if (mode == OpenMode::kReadOnly && no_index && !has_pending_log(path)) {
    code = open(uri_of(path) + "?immutable=1");
  }
  check(code);
}

Database Database::in_memory(const std::string& name) {
  Database database;
  database.path_ = name;
  sqlite3* handle = nullptr;
  const int code = sqlite3_open(":memory:", &handle);
  database.handle_.reset(handle);
  database.check(code);
  return database;
}

Database Database::copy_in_memory() const {
  Database copy = in_memory(path_);
  sqlite3* handle = copy.handle_.get();
  sqlite3_backup* backup = sqlite3_backup_init(handle, "main", handle_.get(), "main");
  if (backup == nullptr) copy.check(sqlite3_errcode(handle));
  sqlite3_backup_step(backup, /*pages=*/-1);
  copy.check(sqlite3_backup_finish(backup));
  return copy;
}

void Database::check(int code) const {
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
  const char* message = handle_ ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(code);
  throw StoreError(
      {.what = fmt::format("results file: {}", message), .where = path_, .hint = hint_for(code)});
}

void Database::execute(const std::string& sql) {
  check(sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr));
}

void Database::fold_log_on_close(bool on) {
  int ignored = 0;
  sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on ? 0 : 1, &ignored);
}

Statement::Statement(Database& database, std::string_view sql) : database_(database) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(database.handle_.get(), sql.data(),
                                      static_cast<int>(sql.size()), &statement, nullptr);
  statement_.reset(statement);
  database_.check(code);
}

bool Statement::step() {
  const int code = sqlite3_step(statement_.get());
  database_.check(code);
  return code == SQLITE_ROW;
}

void Statement::run() {
  step();
  reset();
}

// The error of a failed step is thrown by step; reset would only repeat its code.
void Statement::reset() { sqlite3_reset(statement_.get()); }

int Statement::index(std::string_view column_name) const {
  for (int i = 0; i < columns(); ++i) {
    if (name(i) == column_name) return i;
  }
  throw StoreError({.what = "no column " + std::string(column_name), .where = database_.path()});
}

void Statement::bind_column(int parameter, const Statement& from, int column) {
  database_.check(sqlite3_bind_value(statement_.get(), parameter,
                                     sqlite3_column_value(from.statement_.get(), column)));
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}
int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}
double Statement::real(int column) const { return sqlite3_column_double(statement_.get(), column); }
std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (data == nullptr) return "";
  return std::string(data, sqlite3_column_bytes(statement_.get(), column));
}

void Statement::bind_one(int index, int64_t value) {
  database_.check(sqlite3_bind_int64(statement_.get(), index, value));
}
void Statement::bind_one(int index, double value) {
  database_.check(sqlite3_bind_double(statement_.get(), index, value));
}
void Statement::bind_one(int index, std::string_view value) {
  // An empty view may have no data at all, which SQLite would take for NULL.
  const char* data = value.data() == nullptr ? "" : value.data();
  database_.check(sqlite3_bind_text64(statement_.get(), index, data, value.size(), SQLITE_TRANSIENT,
                                      SQLITE_UTF8));
}
void Statement::bind_one(int index, std::nullptr_t) {
  database_.check(sqlite3_bind_null(statement_.get(), index));
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.execute("ROLLBACK");
  } catch (const Error&) {
    // SQLite has rolled back already (disk full, I/O error); the first error is on its way.
  }
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace skipbench
