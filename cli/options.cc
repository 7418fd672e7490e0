#include "cli/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include "engine/base/error.h"
#include "engine/base/text_file.h"

namespace skipbench {

void EngineOptions::add_to(CLI::App& command) {
  command
      .add_option("-m,--model", model,
                  "Hugging Face folder, GGUF file or folder, or synthetic:CONFIG.json[:seed]")
      ->required();
  command.add_option("--adapter", adapter, "folder of a LoRA adapter (peft), merged at load");
  command.add_option("--device", device, "cpu (cuda where it is built)")->capture_default_str();
  command.add_option("--dtype", dtype, "type of activations and cache: f32, f16, bf16")
      ->capture_default_str();
  command.add_option("--threads", threads, "threads of the CPU engine (0: the machine's cores)")
      ->check(whole_number(0, 1024))
      ->capture_default_str();
  command.add_option("--seed", seed, "seed of a synthetic model's weights")
      ->check(whole_number(0, std::numeric_limits<int64_t>::max()))
      ->capture_default_str();
}

DeviceSpec EngineOptions::device_spec() const {
  return {.device = device, .dtype = parse_activation_dtype(dtype, "--dtype"), .threads = threads};
}

std::string EngineOptions::model_name() const {
  constexpr std::string_view kSynthetic = "synthetic:";
  const bool names_seed = model.find(':', kSynthetic.size()) != std::string::npos;
  if (!model.starts_with(kSynthetic) || names_seed) return model;
  return model + ":" + std::to_string(seed);
}

void StrategyOptions::add_to(CLI::App& command) {
  name_option =
      command.add_option("--strategy", name, "see `skipbench strategies`")->capture_default_str();
  add_parameters_to(command);
}

void StrategyOptions::add_parameters_to(CLI::App& command) {
  target_option = command.add_option("--target", target, "target speedup, 1 to N/2")
                      ->check(finite_number())
                      ->capture_default_str();
  command
      .add_option("--param", params, "strategy parameter KEY=VALUE, by the YAML's name; repeatable")
      ->allow_extra_args(false);
}

Error strategy_is_missing(const std::string& flag, const std::string& got) {
  return Error({.what = "this option is a strategy's, and none is given",
                .where = flag,
                .expected = "--strategy NAME beside it (`skipbench strategies` lists them)",
                .got = got});
}

StrategySpec StrategyOptions::spec() const {
  if (name_option != nullptr && name_option->empty() && !target_option->empty()) {
    throw strategy_is_missing("--target", target_option->results().front());
  }
  StrategySpec spec{.name = name, .target = target, .params = {}, .where = ""};
  for (const std::string& param : params) {
    const size_t equals = param.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error({.what = "a parameter without a value",
                   .where = "--param",
                   .expected = "KEY=VALUE",
                   .got = "'" + param + "'"});
    }
    const std::string key = param.substr(0, equals);
    if (!spec.params.try_emplace(key, ParamValue{param.substr(equals + 1), "--param " + param})
             .second) {
      throw Error({.what = "parameter '" + key + "' given twice",
                   .where = "--param " + param,
                   .expected = "each parameter once",
                   .got = "also " + spec.params[key].where});
    }
  }
  return spec;
}

std::unique_ptr<SkipStrategy> StrategyOptions::make(int num_layers,
                                                    std::optional<int> max_new_tokens) const {
  StrategySpec strategy = spec();
  find_strategy(strategy.name);
  if (max_new_tokens) strategy = with_new_tokens(std::move(strategy), *max_new_tokens);
  layer_budget(num_layers, target);
  return make_strategy(strategy, num_layers);
}

namespace {

template <typename Number>
bool parse_whole(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

// The parts between separators, empty ones too: always one more than there are separators.
std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string line, argument;
  while (std::getline(file, argument, '\0')) {
    const bool plain = argument.find_first_of(" \t\n'\"$&|;<>*?()[]{}\\") == std::string::npos;
    line += (line.empty() ? "" : " ") + (plain ? argument : "'" + argument + "'");
  }
  return line;
}

CLI::Validator whole_number(int64_t lo, int64_t hi) {
  const auto check = [lo, hi](const std::string& text) {
    int64_t number = 0;
    if (parse_whole(text, number) && number >= lo && number <= hi) return std::string();
    return fmt::format("expected a whole number from {} to {}, got '{}'", lo, hi, text);
  };
  return CLI::Validator(check, fmt::format("in [{}, {}]", lo, hi));
}

CLI::Validator finite_number() {
  const auto check = [](const std::string& text) {
    double number = 0;
    if (parse_whole(text, number) && std::isfinite(number)) return std::string();
    return fmt::format("expected a number, got '{}'", text);
  };
  return CLI::Validator(check, "");
}

CLI::Validator positive_number() {
  const auto check = [](const std::string& text) {
    double number = 0;
    if (parse_whole(text, number) && std::isfinite(number) && number > 0) return std::string();
    return fmt::format("expected a number above 0, got '{}'", text);
  };
  return CLI::Validator(check, "");
}

CLI::Validator not_empty() {
  const auto check = [](const std::string& text) {
    return text.find_first_not_of(" \t") == std::string::npos
               ? fmt::format("expected a value, got '{}'", text)
               : std::string();
  };
  return CLI::Validator(check, "");
}

std::vector<std::string> split_list(const std::vector<std::string>& texts) {
  std::vector<std::string> parts;
  for (const std::string& text : texts)
    std::ranges::move(split(text, ','), std::back_inserter(parts));
  return parts;
}

}  // namespace skipbench
