// Recognises a model's own Jinja template. Templates of one kind differ in what they do with tools
// and longer conversations, but a single question comes out the same, so the pieces that write it
// are looked for; whatever could change it makes the template unknown.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/base/error.h"
#include "engine/base/text_file.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/loaders.h"
#include "engine/weights/gguf.h"

namespace skipbench {
namespace {

namespace fs = std::filesystem;

// Jinja source in one spelling: no white space outside what is written, one kind of quotes, and
// attribute access with a dot. Inside strings, line breaks and apostrophes become escapes.
std::string canonical(std::string_view jinja) {
  std::string text;
  char quote = '\0';
  for (size_t i = 0; i < jinja.size(); ++i) {
    const char c = jinja[i];
    if (quote == '\0') {
      if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
      if (c == '\'' || c == '"') quote = c;
      text += c == '"' ? '\'' : c;
    } else if (c == quote) {
      quote = '\0';
      text += '\'';
    } else if (c == '\\' && i + 1 < jinja.size()) {
      if (jinja[++i] != '"') text += c;
      text += jinja[i];
    } else if (c == '\'') {
      text += "\\'";
    } else if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  const auto replace = [&text](std::string_view from, std::string_view to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
      text.replace(at, from.size(), to);
    }
  };
  replace("['role']", ".role");
  replace("['content']", ".content");
  replace("{%-", "{%");
  replace("-%}", "%}");
  replace("{{-", "{{");
  replace("-}}", "}}");
  replace("'+'", "");  // a concatenation of two literals
  return text;
}

class Source {
 public:
  explicit Source(std::string_view jinja) : text_(canonical(jinja)) {}

  bool has(std::string_view part) const { return text_.find(part) != std::string::npos; }
  bool has_any(std::initializer_list<std::string_view> parts) const {
    return std::any_of(parts.begin(), parts.end(), [this](std::string_view p) { return has(p); });
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What opens the answer: the first thing written where add_generation_prompt holds.
bool answers_with(const Source& source, std::string_view opening) {
  const std::string written = fmt::format("{{{{'{}'}}}}", opening);
  return source.has("ifadd_generation_prompt%}" + written) ||
         source.has("andadd_generation_prompt%}" + written);
}

// The text that a canonical string literal stands for, from after its opening quote to before its
// closing one, which is at `*end` afterwards.
std::string literal_text(std::string_view source, size_t begin, size_t* end) {
  std::string text;
  size_t at = begin;
  for (; at < source.size() && source[at] != '\''; ++at) {
    if (source[at] == '\\' && at + 1 < source.size()) {
      ++at;
      text += source[at] == 'n' ? '\n' : source[at];
    } else {
      text += source[at];
    }
  }
  *end = at;
  return text;
}

// The system message that ChatML templates write when there is none.
std::optional<std::string> default_system(const Source& source) {
  constexpr std::string_view kBefore = "'<|im_start|>system\\n";
  constexpr std::string_view kAfter = "<|im_end|>\n";
  for (size_t at = 0; (at = source.text().find(kBefore, at)) != std::string::npos;) {
    at += kBefore.size();
    const std::string literal = literal_text(source.text(), at, &at);
    if (literal.ends_with(kAfter)) return literal.substr(0, literal.size() - kAfter.size());
  }
  return std::nullopt;
}

bool is_chatml(const Source& source) {
  if (source.has_any({"bos_token", "|trim"})) return false;
  const bool writes_messages =
      source.has_any({"'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>\\n'",
                      "'<|im_start|>'+message.role+'\\n'+content+'<|im_end|>\\n'"});
  return writes_messages && answers_with(source, "<|im_start|>assistant\\n");
}

std::string mistral_name(const Source& source) {
  if (source.has("[SYSTEM_PROMPT]") || !source.has("bos_token")) return "";
  if (source.has("'[INST] '+message.content+' [/INST]'")) return "mistral";
  if (source.has("'[INST] '+message.content+'[/INST]'")) return "mistral-v3";
  if (source.has("'[INST]'+message.content+'[/INST]'")) return "mistral-tekken";
  return "";
}

std::string name_of(const Source& source) {
  if (is_chatml(source)) return "chatml";
  if (source.has("<|start_header_id|>'+message.role+'<|end_header_id|>\\n\\n'+message.content|trim"
                 "+'<|eot_id|>'") &&
      source.has("'<|start_header_id|>assistant<|end_header_id|>\\n\\n'")) {
    return source.has("Today Date: ") ? "llama3.1" : "llama3";
  }
  if (source.has("'<<SYS>>\\n'+system_message+'\\n<</SYS>>\\n\\n'+message.content") &&
      source.has("bos_token+'[INST] '+content.strip()+' [/INST]'")) {
    return "llama2";
  }
  if (const std::string name = mistral_name(source); !name.empty()) return name;
  if (source.has("'<|user|>\\n'+message.content+eos_token") &&
      source.has("'<|system|>\\n'+message.content+eos_token") &&
      source.has("add_generation_prompt%}{{'<|assistant|>'}}")) {
    return "zephyr";
  }
  if (source.has("bos_token") &&
      source.has("'<start_of_turn>'+role+'\\n'+message.content|trim+'<end_of_turn>\\n'") &&
      answers_with(source, "<start_of_turn>model\\n")) {
    return "gemma";
  }
  return "";
}

struct ModelTemplate {
  std::string jinja;
  std::string bos;
  std::string eos;
  std::string where;
};

ModelTemplate of_gguf(const std::string& path) {
  const GgufFile file(path);
  ModelTemplate found;
  found.jinja = file.string_or("tokenizer.chat_template", "");
  found.where = fmt::format("{}: key 'tokenizer.chat_template'", path);
  if (!file.has("tokenizer.ggml.tokens")) return found;
  const std::vector<std::string>& tokens = file.strings("tokenizer.ggml.tokens");
  const auto text_of = [&](std::string_view key) {
    const int64_t id = file.integer_or(key, -1);
    return id >= 0 && static_cast<size_t>(id) < tokens.size() ? tokens[id] : std::string();
  };
  found.bos = text_of("tokenizer.ggml.bos_token_id");
  found.eos = text_of("tokenizer.ggml.eos_token_id");
  return found;
}

// A string, or since transformers 4.40 a list of {"name", "template"} with one named "default".
std::string template_in_config(const JsonObject& config) {
  const nlohmann::json* value = config.find("chat_template");
  if (!value || !value->is_array()) return config.string("chat_template").value_or("");
  for (const JsonObject& entry : json_objects(config, "chat_template")) {
    if (entry.string("name") == "default") return entry.string("template").value_or("");
  }
  return "";
}

ModelTemplate of_folder(const fs::path& folder) {
  ModelTemplate found;
  found.where = folder.string();
  if (const fs::path path = folder / "tokenizer_config.json"; fs::exists(path)) {
    const JsonObject config = JsonObject::read(path.string());
    found.jinja = template_in_config(config);
    found.bos = token_content(config, "bos_token");
    found.eos = token_content(config, "eos_token");
    found.where = config.where("chat_template");
  }
  if (const fs::path path = folder / "chat_template.jinja"; fs::exists(path)) {
    found.jinja = read_small_file(path.string());
    found.where = path.string();
  }
  return found;
}

ModelTemplate find_template(const std::string& path) {
  if (!fs::is_directory(path)) {
    return fs::path(path).extension() == ".gguf" ? of_gguf(path)
                                                 : of_folder(fs::path(path).parent_path());
  }
  ModelTemplate found = of_folder(path);
  if (!found.jinja.empty()) return found;
  std::vector<std::string> ggufs;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".gguf") ggufs.push_back(entry.path().string());
  }
  return ggufs.size() == 1 ? of_gguf(ggufs[0]) : found;
}

}  // namespace

ChatTemplate ChatTemplate::recognise(std::string_view jinja, const std::string& bos,
                                     const std::string& eos, const std::string& where) {
  const Source source(jinja);
  const std::string name = name_of(source);
  if (name.empty()) {
    throw Error({.what = "unknown chat template",
                 .where = where,
                 .expected = fmt::format("one of the kinds {}", fmt::join(names(), ", ")),
                 .hint = "name the kind that fits, or write the prompt out"});
  }
  ChatTemplate found = named(name);
  if (name == "chatml") found.format_.default_system = default_system(source);
  if (!bos.empty()) found.format_.bos = bos;
  if (!eos.empty()) found.format_.eos = eos;
  return found;
}

ChatTemplate ChatTemplate::of_model(const std::string& model_path) {
  const ModelTemplate found = find_template(model_path);
  if (found.jinja.empty()) {
    throw Error({.what = "the model has no chat template",
                 .where = found.where,
                 .hint = fmt::format("name one of {}", fmt::join(names(), ", "))});
  }
  return recognise(found.jinja, found.bos, found.eos, found.where);
}

}  // namespace skipbench
