// Examples of a data set: parallel text (one file per side) or JSON lines.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace skipbench {

struct Example {
  std::map<std::string, std::string> fields;  // what a prompt template can name
  std::vector<std::string> references;        // at least one
};

// Where examples are. Either `source` and `references` (files aligned by line), or `jsonl`.
struct DataFiles {
  std::string source;
  std::vector<std::string> references;
  std::string jsonl;
  std::string source_field = "source";                        // becomes {source} as well
  std::vector<std::string> reference_fields = {"reference"};  // a list gives several references
};

// All examples in file order. Values of JSON fields: strings; lists of strings (joined with a blank
// in a prompt, one reference each as a reference); numbers and booleans as text; others are left
// out. Throws Error naming file and line: files that differ in their number of lines, bad JSON, a
// missing field, no example at all.
std::vector<Example> load_examples(const DataFiles& files);

}  // namespace skipbench
