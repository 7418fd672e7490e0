#include "cli/sweep_options.h"

#include <array>

#include "cli/options.h"

namespace skipbench {
namespace {

struct ShortForm {
  const char* flag;
  const char* key;
  const char* help;
};

constexpr std::array kShortForms = {
    ShortForm{"--device", "device", "cpu, or cuda where it is built; as --set device=..."},
    ShortForm{"--dtype", "model.dtype", "f32, f16, bf16; as --set model.dtype=..."},
    ShortForm{"--threads", "model.threads",
              "CPU threads, 0: all cores; as --set model.threads=..."},
    ShortForm{"--seed", "seed", "as --set seed=..."},
};

}  // namespace

void SweepCommandOptions::add_to(CLI::App& command) {
  command.add_option("config", config, "YAML file, as in configs/")->required();
  command
      .add_option("--set", overrides,
                  "KEY=VALUE changes the configuration, KEY dotted: targets=[2,3], "
                  "datasets.de-en.limit=10; repeatable. Strategies with targets of their own keep "
                  "them")
      ->allow_extra_args(false);
  for (const ShortForm& form : kShortForms) {
    command
        .add_option_function<std::string>(
            form.flag,
            [this, key = form.key](const std::string& value) {
              overrides.push_back(std::string(key) + "=" + value);
            },
            form.help)
        ->check([](const std::string& text) {
          return text.starts_with('#') ? "expected a value, got a comment of YAML: '" + text + "'"
                                       : "";
        });
  }
}

}  // namespace skipbench
