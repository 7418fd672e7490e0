// Every key of a sweep's YAML in one table: the parser, its messages and the schema come from it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skipbench {

enum class KeyType {
  kText,
  kPath,  // ${NAME} is the environment's; relative to the working directory, then the config
  kInteger,
  kNumber,
  kTextList,  // one text, or a list of them
  kPathList,
  kIntegerList,
  kNumberList,
  kSettings,  // free names with scalar values
  kSection,   // the keys below it in this table
  kSections,  // a list of sections; a bare text stands for {name: TEXT}
  kMetrics,   // a list of {NAME: {SETTING: VALUE}} or NAME
  kDefaults,  // keys that every item of the list of sections of the same name takes over
};

struct ConfigKey {
  std::string_view path;  // "datasets[].limit"
  KeyType type;
  std::string_view default_text;  // as YAML; "" means empty, kRequired that there is none
  double min = 0, max = 0;        // of numbers and integers; equal: not limited
  std::string_view choices = "";  // "f32|f16|bf16"
  std::string_view help = "";
};

inline constexpr std::string_view kRequired = "(required)";

std::span<const ConfigKey> config_keys();

// The entry of a generic path, or null.
const ConfigKey* find_config_key(std::string_view path);

// Names of the keys directly below a generic path ("" or "datasets[]").
std::vector<std::string> child_names(std::string_view path);

// The table as Markdown, for docs/file-formats.md.
std::string config_keys_markdown();

}  // namespace skipbench
