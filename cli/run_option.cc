#include "cli/run_option.h"

#include <charconv>

#include "engine/base/error.h"

namespace skipbench {

CLI::Option* RunOption::add_to(CLI::App& command, const std::string& what) {
  return command.add_option("--run", text,
                            what +
                                " of another run than the latest, by its number (`skipbench "
                                "table FILE --run list` names the runs)");
}

std::optional<int64_t> RunOption::number() const {
  if (text.empty()) return std::nullopt;
  int64_t run = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), run);
  if (error == std::errc() && end == text.data() + text.size()) return run;
  throw Error({.what = "not the number of a run",
               .where = "--run",
               .expected = "a number, as `skipbench table FILE --run list` prints them",
               .got = text});
}

}  // namespace skipbench
