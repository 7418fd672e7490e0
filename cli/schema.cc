// skipbench schema: the JSON Schema of a sweep's configuration.
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "eval/sweep/config_schema.h"

namespace skipbench {

void add_schema(CLI::App& app) {
  CLI::App* sub =
      app.add_subcommand("schema", "The JSON Schema of a sweep's configuration, for editors");
  sub->footer(
      "Example:\n  skipbench schema > configs/sweep.schema.json\n"
      "An editor with YAML support takes it from a configuration's first line:\n"
      "  # yaml-language-server: $schema=sweep.schema.json");
  sub->callback([] { std::cout << config_schema().dump(1) << '\n'; });
}

}  // namespace skipbench
