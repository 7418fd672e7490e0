// The one exception type for input that is wrong. Broken invariants are asserts, not Errors.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace skipbench {

// What a user needs to mend wrong input. Empty parts are left out of the message.
struct ErrorParts {
  std::string what;      // what is wrong: "unknown strategy"
  std::string where;     // file:line, file and tensor and byte, key path, or command-line flag
  std::string expected;  // what would have been right
  std::string got;       // what was found
  std::string hint;      // what to do next
};

// Message: "WHERE: WHAT; expected EXPECTED, got GOT; HINT".
class Error : public std::runtime_error {
 public:
  explicit Error(ErrorParts parts);

  const ErrorParts& parts() const { return parts_; }

 private:
  ErrorParts parts_;
};

// A device has no memory left for an allocation; it stays usable. A sweep records it as `oom`.
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(ErrorParts parts, int64_t asked_bytes = 0, int64_t free_bytes = 0)
      : Error(std::move(parts)), asked_bytes_(asked_bytes), free_bytes_(free_bytes) {}

  int64_t asked_bytes() const { return asked_bytes_; }
  int64_t free_bytes() const { return free_bytes_; }

 private:
  int64_t asked_bytes_;
  int64_t free_bytes_;
};

// The device is beyond use ("sticky" error): the process must close its files and end.
class DeviceLost : public Error {
 public:
  using Error::Error;
};

// "nearest first": the known names ordered by edit distance to `name`, joined as "a, b, c".
std::string nearest_names(std::string_view name, std::span<const std::string> known);

// Error for a name that is in no table: lists the alternatives, the nearest first.
Error unknown_name(std::string_view kind, std::string_view name,
                   std::span<const std::string> known, std::string where = "");

}  // namespace skipbench
