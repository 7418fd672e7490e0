#include "datasets/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/text_file.h"

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

bool is_number(const std::string& field) {
  return !field.empty() && field.find_first_not_of("0123456789") == std::string::npos;
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find('\t', begin), line.size());
    cells.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return cells;
}

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

class TableReader {
 public:
  explicit TableReader(const DataFiles& files)
      : files_(files),
        has_header_(!is_number(files.source_field) ||
                    !std::ranges::all_of(files.reference_fields, is_number)) {}

  std::vector<Example> read() {
    std::vector<Example> examples;
    for (std::string& line : read_text_lines(files_.tsv)) {
      ++number_;
      if (number_ == 1 && line.starts_with(kByteOrderMark)) line.erase(0, kByteOrderMark.size());
      if (line.find_first_not_of(" \t") == std::string::npos) continue;
      const bool names_columns = columns_.empty();
      if (names_columns) read_columns(line);
      if (!names_columns || !has_header_) examples.push_back(parse(line));
    }
    return examples;
  }

 private:
  std::string where() const { return fmt::format("{}:{}", files_.tsv, number_); }

  void read_columns(const std::string& line) {
    columns_ = cells_of(line);
    if (has_header_) {
      check_names();
    } else {
      for (size_t i = 0; i < columns_.size(); ++i) columns_[i] = std::to_string(i + 1);
    }
    column(files_.source_field);
    for (const std::string& field : files_.reference_fields) column(field);
  }

  // Columns without a name can be several: nothing asks for them.
  void check_names() const {
    for (size_t i = 0; i < columns_.size(); ++i) {
      const auto first = std::ranges::find(columns_, columns_[i]) - columns_.begin();
      if (columns_[i].empty() || static_cast<size_t>(first) == i) continue;
      throw Error({.what = fmt::format("column '{}' given twice", columns_[i]),
                   .where = where(),
                   .expected = "a name of its own for each column",
                   .got = fmt::format("columns {} and {}", first + 1, i + 1)});
    }
  }

  size_t column(const std::string& name) const {
    const auto found = std::ranges::find(columns_, name);
    if (found != columns_.end()) return static_cast<size_t>(found - columns_.begin());
    throw Error({.what = fmt::format("no column '{}'", name),
                 .where = where(),
                 .expected = fmt::format("a column of: {}", fmt::join(columns_, ", ")),
                 .hint = "the first line names the columns; without such a line `source_field` and "
                         "`reference_fields` are numbers, as in `source_field: 1`"});
  }

  Example parse(const std::string& line) {
    std::vector<std::string> cells = cells_of(line);
    if (cells.size() != columns_.size()) {
      throw Error({.what = "a line with another number of columns",
                   .where = where(),
                   .expected = fmt::format("{}: {}", columns_.size(), fmt::join(columns_, ", ")),
                   .got = std::to_string(cells.size()),
                   .hint = "a tab always ends a column here, also within quotes"});
    }
    Example example;
    for (const std::string& field : files_.reference_fields) {
      example.references.push_back(cells[column(field)]);
    }
    example.fields["source"] = cells[column(files_.source_field)];
    for (size_t i = 0; i < cells.size(); ++i) {
      if (columns_[i] != "source") example.fields[columns_[i]] = std::move(cells[i]);
    }
    return example;
  }

  const DataFiles& files_;
  bool has_header_;
  int64_t number_ = 0;
  std::vector<std::string> columns_;
};

}  // namespace

const std::string& DataFiles::source_file() const {
  return !jsonl.empty() ? jsonl : !tsv.empty() ? tsv : source;
}

std::vector<Example> load_examples(const DataFiles& files) {
  std::vector<Example> examples = !files.jsonl.empty() ? load_json_lines(files)
                                  : !files.tsv.empty() ? TableReader(files).read()
                                                       : load_parallel(files);
  if (examples.empty()) {
    throw Error(
        {.what = "no examples", .where = files.source_file(), .expected = "at least one line"});
  }
  return examples;
}

}  // namespace skipbench
