#include "eval/sweep/yaml_parse.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/text_file.h"
#include "engine/base/utf8.h"

namespace skipbench {
namespace {

constexpr size_t kMostBytes = size_t{4} << 20;
constexpr int64_t kMostValues = 100'000;
constexpr int kDeepest = 64;

// Measures a text as it is parsed. YAML::Load would build whatever aliases describe, leave out a
// second document, and never end at a comma where a document should begin.
class YamlShape final : public YAML::EventHandler {
 public:
  YamlShape(std::string_view text, const std::string& where) : text_(text), where_(where) {
    constexpr std::string_view kByteOrderMark = "\uFEFF";
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 1) return;
    const auto at = static_cast<size_t>(std::max(mark.pos, 0));
    if (at < text_.size() && text_[at] == ',') {
      throw Error({.what = "not valid YAML: a comma outside a list", .where = line(mark)});
    }
    throw Error({.what = "more than one YAML document",
                 .where = line(mark),
                 .expected = "one value, and nothing after it"});
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(mark, anchor, {}); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string&) override {
    add(mark, anchor, {});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = ended_.find(anchor);
    if (found == ended_.end()) {
      throw Error({.what = "an alias inside what it stands for",
                   .where = line(mark),
                   .expected = "an anchor that ends before its alias"});
    }
    add(mark, YAML::NullAnchor, found->second);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(mark, anchor);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(mark, anchor);
  }
  void OnMapEnd() override { end(); }

  bool is_empty() const { return documents_ == 0; }

 private:
  struct Extent {
    int64_t values = 1;
    int depth = 1;
  };
  struct Open {
    YAML::Mark mark;
    YAML::anchor_t anchor;
    Extent extent;
  };

  std::string line(const YAML::Mark& mark) const {
    return fmt::format("{}:{}", where_, mark.line + 1);
  }

  void begin(const YAML::Mark& mark, YAML::anchor_t anchor) {
    open_.push_back({mark, anchor, {}});
    check(mark, 0, 0);
  }

  void end() {
    const Open ended = open_.back();
    open_.pop_back();
    add(ended.mark, ended.anchor, ended.extent);
  }

  // A node that has ended.
  void add(const YAML::Mark& mark, YAML::anchor_t anchor, Extent extent) {
    if (anchor != YAML::NullAnchor) ended_[anchor] = extent;
    check(mark, extent.values, extent.depth);
    if (open_.empty()) return;
    Extent& around = open_.back().extent;
    around.values += extent.values;
    around.depth = std::max(around.depth, extent.depth + 1);
  }

  void check(const YAML::Mark& mark, int64_t values, int depth) {
    if (static_cast<int>(open_.size()) + depth > kDeepest) {
      throw Error({.what = fmt::format("nested deeper than {}", kDeepest), .where = line(mark)});
    }
    const int64_t around = open_.empty() ? 0 : open_.back().extent.values;
    if (around + values > kMostValues) {
      throw Error({.what = fmt::format("more than {} values", kMostValues),
                   .where = line(mark),
                   .hint = "every alias counts as what it stands for"});
    }
  }

  std::string_view text_;
  const std::string& where_;
  int documents_ = 0;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Extent> ended_;
};

void check_utf8(const std::string& text, const std::string& where) {
  const size_t bad = find_invalid_utf8(text);
  if (bad == std::string::npos) return;
  const auto line = std::count(text.begin(), text.begin() + static_cast<int64_t>(bad), '\n') + 1;
  throw Error({.what = "not valid UTF-8",
               .where = fmt::format("{}:{}", where, line),
               .got = fmt::format("byte 0x{:02x}", static_cast<unsigned char>(text[bad]))});
}

}  // namespace

YAML::Node read_yaml(const std::string& path) {
  std::string text;
  try {
    text = read_small_file(path, kMostBytes);
  } catch (const Error& error) {
    ErrorParts parts = error.parts();
    parts.hint = "examples of configurations are in configs/";
    throw Error(std::move(parts));
  }
  return parse_yaml(text, path);
}

YAML::Node parse_yaml(const std::string& text, const std::string& where) {
  check_utf8(text, where);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    YamlShape shape(text, where);
    while (parser.HandleNextDocument(shape)) {
    }
    return shape.is_empty() ? YAML::Node(YAML::NodeType::Undefined) : YAML::Load(text);
  } catch (const YAML::Exception& error) {
    throw Error(
        {.what = "not valid YAML: " + error.msg,
         .where = error.mark.is_null() ? where : fmt::format("{}:{}", where, error.mark.line + 1)});
  }
}

}  // namespace skipbench
