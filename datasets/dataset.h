// Examples of a data set: parallel text (one file per side), JSON lines, or a table of texts.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace skipbench {

struct Example {
  std::map<std::string, std::string> fields;  // what a prompt template can name
  std::vector<std::string> references;        // at least one
};

// Where examples are: `source` and `references` (files aligned by line), `jsonl`, or `tsv`, columns
// with tabs between them. The first line of a table names its columns, unless `source_field` and
// `reference_fields` are numbers: then it has no such line and columns count from 1.
struct DataFiles {
  std::string source;
  std::vector<std::string> references;
  std::string jsonl;
  std::string tsv;
  std::string source_field = "source";                        // becomes {source} as well
  std::vector<std::string> reference_fields = {"reference"};  // a list gives several references

  // The one that has the sources.
  const std::string& source_file() const;
};

// All examples in file order. Values of JSON fields: strings; lists of strings (joined with a blank
// in a prompt, one reference each as a reference); numbers and booleans as text; others are left
// out. Of a table: text as it stands, without quotes or escapes. Throws Error naming file and line:
// files that differ in their number of lines, bad JSON, a missing field, a line of a table with
// more or fewer columns, a column's name given twice, no example at all.
std::vector<Example> load_examples(const DataFiles& files);

}  // namespace skipbench
