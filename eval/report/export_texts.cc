#include "eval/report/export_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "engine/base/error.h"
#include "eval/report/row_statistics.h"
#include "eval/report/stored_runs.h"
#include "eval/store/stored_json.h"

namespace skipbench {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* kIndex = "index.json";

struct TextCell {
  int64_t id = 0;
  std::string label, strategy;  // in the table, in the registry
  double target = 1;
};

// The cells whose outputs stand line by line beside the same references.
struct TextGroup {
  std::string dataset, variant;
  std::vector<TextCell> cells;
};

std::vector<TextGroup> done_cells(ResultStore& store, int64_t run,
                                  std::vector<std::string>& left_out) {
  Statement rows(store.database(),
                 "SELECT c.id, r.strategy, c.resolved ->> '$.strategy', r.target, r.dataset,"
                 " r.variant, c.status FROM run_cells r JOIN cells c ON c.id = r.cell_id"
                 " WHERE r.run_id = ? AND c.kind = 'quality'"
                 " ORDER BY r.ordinal");
  rows.bind(run);
  std::vector<TextGroup> groups;
  while (rows.step()) {
    const std::string dataset = rows.text(4), variant = rows.text(5), status = rows.text(6);
    if (status != cell_status::kDone) {
      left_out.push_back(fmt::format("{} {:g}x, {}{}{}: {}", rows.text(1), rows.real(3), dataset,
                                     variant.empty() ? "" : ", ", variant, status));
      continue;
    }
    auto group = std::ranges::find_if(groups, [&](const TextGroup& one) {
      return one.dataset == dataset && one.variant == variant;
    });
    if (group == groups.end()) group = groups.insert(group, {dataset, variant, {}});
    group->cells.push_back({rows.integer(0), rows.text(1), rows.text(2), rows.real(3)});
  }
  return groups;
}

// A file's name of any text: letters, digits and "-+=_", points between them; runs of anything
// else become one "_".
std::string safe_name(std::string_view text) {
  constexpr size_t kMostBytes = 100;
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  std::string name;
  for (size_t i = 0; i < text.size() && name.size() < kMostBytes; ++i) {
    const char c = text[i];
    const bool between =
        i > 0 && i + 1 < text.size() && is_plain(text[i - 1]) && is_plain(text[i + 1]);
    const bool kept = is_plain(c) || c == '_' || (c == '.' && between) ||
                      (!name.empty() && std::string_view("-+=").find(c) != std::string::npos);
    if (kept) {
      name += c;
    } else if (!name.ends_with('_')) {
      name += '_';
    }
  }
  return name.empty() ? "_" : name;
}

// Names of one folder, told apart also where a file system takes "A" for "a".
class FileNames {
 public:
  std::string unique(const std::string& stem, const std::string& ending) {
    std::string name = stem + ending;
    for (int copy = 2; !taken_.insert(lower(name)).second; ++copy) {
      name = fmt::format("{}-{}{}", stem, copy, ending);
    }
    return name;
  }

 private:
  static std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return text;
  }

  std::set<std::string> taken_;
};

class TextWriter {
 public:
  TextWriter(ResultStore& store, int64_t run_id, std::filesystem::path folder)
      : store_(store), folder_(std::move(folder)) {
    names_.unique(kIndex, "");
    Statement run(store.database(), "SELECT config FROM runs WHERE id = ?");
    if (run.bind(run_id).step()) config_ = stored_value<OrderedJson>(store.database(), run.text(0));
  }

  TextsExport write(const std::vector<TextGroup>& groups) {
    OrderedJson index = {{"results", store_.database().path()}};
    for (const TextGroup& group : groups) index["datasets"].push_back(write_group(group));
    write_file(kIndex, index.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
    return std::move(written_);
  }

 private:
  OrderedJson write_group(const TextGroup& group) {
    const std::string point = group.variant.empty() ? "" : "-" + group.variant;
    const std::string folder = names_.unique(safe_name(group.dataset + point), "");
    make_folder(folder);
    const auto references = references_of(group.cells.front().id);
    FileNames names;
    OrderedJson json = {{"folder", folder}, {"dataset", group.dataset}};
    if (!group.variant.empty()) json["variant"] = group.variant;
    json["examples"] = references.size();
    json["source"] = source_of(group.dataset);
    json["references"] = write_references(folder, references, names);
    for (const TextCell& cell : group.cells) {
      const std::vector<OutputRecord> outputs = store_.outputs(cell.id);
      check_data(cell, outputs, references);
      // `full` runs at no other target than 1.
      const std::string target = cell.strategy == "full" ? "" : fmt::format("-{:g}x", cell.target);
      const std::string file = names.unique(safe_name(cell.label) + target, ".txt");
      std::string text;
      for (const OutputRecord& output : outputs) text += line_of(output.text);
      write_file(folder + "/" + file, text);
      ++written_.files;
      OrderedJson entry = {{"file", folder + "/" + file}, {"strategy", cell.label}};
      const std::string row = group_of(cell.label);
      if (!row.empty()) entry["group"] = row;
      entry.update(
          {{"target", cell.target}, {"layers", layer_statistics(outputs).mean}, {"cell", cell.id}});
      json["files"].push_back(std::move(entry));
    }
    return json;
  }

  std::vector<std::vector<std::string>> references_of(int64_t cell) {
    std::vector<std::vector<std::string>> references;
    for (OutputRecord& output : store_.outputs(cell)) {
      references.push_back(std::move(output.references));
    }
    return references;
  }

  void check_data(const TextCell& cell, const std::vector<OutputRecord>& outputs,
                  const std::vector<std::vector<std::string>>& references) const {
    bool same = outputs.size() == references.size();
    for (size_t i = 0; same && i < outputs.size(); ++i) {
      same = outputs[i].references == references[i];
    }
    if (same) return;
    throw StoreError({.what = "the cells of a data set have different references",
                      .where = store_.database().path(),
                      .expected = "the same examples for every strategy",
                      .got = fmt::format("others at {} {:g}x", cell.label, cell.target),
                      .hint = "measure them again: `skipbench run --fresh`"});
  }

  // As many files as the example with most references has.
  OrderedJson write_references(const std::string& folder,
                               const std::vector<std::vector<std::string>>& references,
                               FileNames& names) {
    size_t most = 0;
    for (const auto& list : references) most = std::max(most, list.size());
    OrderedJson files = OrderedJson::array();
    for (size_t r = 0; r < most; ++r) {
      std::string text;
      for (const auto& list : references) {
        if (r >= list.size()) ++written_.repeated_references;
        text += line_of(list.empty() ? "" : list[r < list.size() ? r : 0]);
      }
      const std::string stem = most == 1 ? "reference" : fmt::format("reference.{}", r);
      files.push_back(folder + "/" + names.unique(stem, ".txt"));
      write_file(files.back(), text);
    }
    return files;
  }

  // LF, CR LF and CR are line breaks to one program or another.
  std::string line_of(const std::string& text) {
    std::string line;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\n' && text[i] != '\r') {
        line += text[i];
        continue;
      }
      if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
      line += ' ';
      ++written_.line_breaks;
    }
    return line + '\n';
  }

  // The file that the configuration names; empty: it is not known.
  std::string source_of(const std::string& dataset) const {
    return read_stored(store_.database().path(), "configuration", [&] {
      for (const OrderedJson& one : config_.value("datasets", OrderedJson::array())) {
        if (one.at("name") != dataset) continue;
        for (const char* key : {"jsonl", "tsv"}) {
          if (one.contains(key)) return one.value(key, "");
        }
        return one.value("source", "");
      }
      return std::string();
    });
  }

  // The row that the label's runs share; empty: it has one of its own.
  std::string group_of(const std::string& label) const {
    return read_stored(store_.database().path(), "configuration", [&] {
      for (const OrderedJson& one : config_.value("strategies", OrderedJson::array())) {
        if (one.value("label", "") == label) return one.value("group", "");
      }
      return std::string();
    });
  }

  void make_folder(const std::string& name) const {
    std::error_code error;
    std::filesystem::create_directories(folder_ / name, error);
    if (!error) return;
    throw Error(
        {.what = "cannot make the folder: " + error.message(), .where = (folder_ / name).string()});
  }

  void write_file(const std::string& name, const std::string& bytes) const {
    std::ofstream file(folder_ / name, std::ios::binary);
    file << bytes << std::flush;
    if (file) return;
    throw Error({.what = "cannot write the file",
                 .where = (folder_ / name).string(),
                 .hint = "is there room on the disk?"});
  }

  ResultStore& store_;
  std::filesystem::path folder_;
  OrderedJson config_ = OrderedJson::object();
  FileNames names_;  // of folders, beside the index
  TextsExport written_;
};

void check_empty(const std::string& folder) {
  std::error_code error;
  const bool exists = std::filesystem::exists(folder, error);
  if (!error && (!exists || (std::filesystem::is_directory(folder, error) &&
                             std::filesystem::is_empty(folder, error) && !error))) {
    return;
  }
  throw Error({.what = "texts are written into a folder of their own",
               .where = "-o",
               .expected = "a folder that is new or empty",
               .got = folder,
               .hint = "name another one, or remove what is there"});
}

}  // namespace

TextsExport export_texts(ResultStore& store, const std::string& folder,
                         std::optional<int64_t> run) {
  check_empty(folder);
  const int64_t shown = find_run(store.database(), run);
  std::vector<std::string> left_out;
  const std::vector<TextGroup> groups = done_cells(store, shown, left_out);
  if (groups.empty()) {
    throw StoreError({.what = "the results file holds no scored outputs",
                      .where = store.database().path(),
                      .expected = "a run with at least one finished cell",
                      .hint = "`skipbench run` goes on where it was"});
  }
  TextsExport written = TextWriter(store, shown, folder).write(groups);
  written.left_out = std::move(left_out);
  return written;
}

}  // namespace skipbench
