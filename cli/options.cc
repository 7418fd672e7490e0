#include "cli/options.h"

#include <fstream>
#include <iostream>

#include "engine/base/error.h"

namespace skipbench {

void EngineOptions::add_to(CLI::App& command) {
  command
      .add_option("-m,--model", model,
                  "Hugging Face folder, GGUF file or folder, or synthetic:CONFIG.json[:seed]")
      ->required();
  command.add_option("--device", device, "cpu (cuda where it is built)")->capture_default_str();
  command.add_option("--dtype", dtype, "type of activations and cache: f32, f16, bf16")
      ->capture_default_str();
  command.add_option("--threads", threads, "threads of the CPU engine (0: the machine's cores)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command.add_option("--seed", seed, "seed of a synthetic model's weights")
      ->check(CLI::NonNegativeNumber)
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
  command.add_option("--strategy", name, "see `skipbench strategies`")->capture_default_str();
  command.add_option("--target", target, "target speedup, 1 to N/2")->capture_default_str();
  command
      .add_option("--param", params, "strategy parameter KEY=VALUE, by the YAML's name; repeatable")
      ->allow_extra_args(false);
}

StrategySpec StrategyOptions::spec() const {
  StrategySpec spec{.name = name, .target = target, .params = {}, .where = ""};
  for (const std::string& param : params) {
    const size_t equals = param.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error({.what = "a parameter without a value",
                   .where = "--param",
                   .expected = "KEY=VALUE",
                   .got = "'" + param + "'"});
    }
    spec.params[param.substr(0, equals)] = {param.substr(equals + 1), "--param " + param};
  }
  return spec;
}

std::vector<std::string> read_input_lines(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file || file.peek(), file.bad()) {
      throw Error({.what = "cannot read the input file", .where = path});
    }
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(std::move(line));
  if (in.bad()) throw Error({.what = "error while reading the input", .where = path});
  return lines;
}

}  // namespace skipbench
