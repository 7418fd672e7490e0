#include "datasets/dataset.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/text_file.h"
#include "engine/base/error.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

std::vector<Example> load_parallel(const DataFiles& files) {
  std::vector<std::string> sources = read_text_lines(files.source);
  std::vector<Example> examples(sources.size());
  for (size_t i = 0; i < sources.size(); ++i) {
    examples[i].fields["source"] = std::move(sources[i]);
  }
  for (const std::string& path : files.references) {
    std::vector<std::string> lines = read_text_lines(path);
    if (lines.size() != examples.size()) {
      throw Error({.what = "source and reference differ in their number of lines",
                   .where = path,
                   .expected = fmt::format("{} lines as in {}", examples.size(), files.source),
                   .got = fmt::format("{} lines", lines.size())});
    }
    for (size_t i = 0; i < lines.size(); ++i) {
      examples[i].references.push_back(std::move(lines[i]));
    }
  }
  return examples;
}

// A field's value as strings; nothing for kinds that have no plain text (objects, null).
std::vector<std::string> texts_of(const Json& value) {
  if (value.is_string()) return {value.get<std::string>()};
  if (value.is_number() || value.is_boolean()) return {value.dump()};
  std::vector<std::string> texts;
  if (!value.is_array()) return texts;
  for (const Json& item : value) {
    if (!item.is_string()) return {};
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : " ") + text;
  return all;
}

std::vector<std::string> required_field(const Json& object, const std::string& field,
                                        const std::string& where) {
  std::vector<std::string> texts;
  if (const auto found = object.find(field); found != object.end()) texts = texts_of(*found);
  if (!texts.empty()) return texts;
  std::vector<std::string> known;
  for (const auto& [key, value] : object.items()) {
    if (!texts_of(value).empty()) known.push_back(key);
  }
  throw unknown_name("field (or one without text)", field, known, where);
}

Example parse_example(const std::string& line, const DataFiles& files, const std::string& where) {
  const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    throw Error({.what = "not a JSON object",
                 .where = where,
                 .expected = "one object per line, as in {\"source\": \"...\"}",
                 .got = fmt::format("'{}'", line.substr(0, 40))});
  }
  Example example;
  for (const auto& [key, value] : object.items()) {
    if (auto texts = texts_of(value); !texts.empty()) example.fields[key] = joined(texts);
  }
  example.fields["source"] = joined(required_field(object, files.source_field, where));
  for (const std::string& field : files.reference_fields) {
    for (std::string& text : required_field(object, field, where)) {
      example.references.push_back(std::move(text));
    }
  }
  return example;
}

std::vector<Example> load_json_lines(const DataFiles& files) {
  std::vector<Example> examples;
  int64_t number = 0;
  for (const std::string& line : read_text_lines(files.jsonl)) {
    ++number;
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    examples.push_back(parse_example(line, files, fmt::format("{}:{}", files.jsonl, number)));
  }
  return examples;
}

}  // namespace

std::vector<Example> load_examples(const DataFiles& files) {
  const bool is_json = !files.jsonl.empty();
  std::vector<Example> examples = is_json ? load_json_lines(files) : load_parallel(files);
  if (examples.empty()) {
    throw Error({.what = "no examples",
                 .where = is_json ? files.jsonl : files.source,
                 .expected = "at least one line"});
  }
  return examples;
}

}  // namespace skipbench
