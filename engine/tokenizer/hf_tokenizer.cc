// Hugging Face's tokenizer.json (tokenizers/src/tokenizer/serialization.rs).
#include <fmt/format.h>

#include <filesystem>

#include "engine/base/error.h"
#include "engine/tokenizer/loaders.h"

namespace skipbench {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const JsonObject& object, std::string_view key, std::string what,
                         std::string expected = "", std::string hint = "") {
  throw Error({.what = std::move(what),
               .where = object.where(key),
               .expected = std::move(expected),
               .hint = std::move(hint)});
}

JsonObject model_of(const JsonObject& file) {
  const std::optional<JsonObject> model = file.object("model");
  if (!model) refuse(file, "model", "no tokenizer in this file", "a tokenizer.json");
  // Files from before tokenizers 0.9 have no type.
  const std::string type = model->string("type").value_or(model->has("merges") ? "BPE" : "none");
  if (type != "BPE") {
    refuse(*model, "type", fmt::format("unsupported tokenizer model '{}'", type), "BPE",
           "Unigram models are read from their sentencepiece tokenizer.model");
  }
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model->string(key).value_or("").empty()) {
      refuse(*model, key, fmt::format("unsupported {}", key), "none");
    }
  }
  if (model->number("dropout").value_or(0) != 0) refuse(*model, "dropout", "dropout is random");
  return *model;
}

void read_vocabulary(const JsonObject& model, BpeParts* parts) {
  const nlohmann::json* vocabulary = model.find("vocab");
  if (!vocabulary || !vocabulary->is_object()) refuse(model, "vocab", "no vocabulary");
  parts->vocabulary.reserve(vocabulary->size());
  for (const auto& [text, id] : vocabulary->items()) {
    if (!id.is_number_integer()) refuse(model, "vocab", "id is no integer", "", text);
    parts->vocabulary.push_back({text, checked_token_id(id.get<int64_t>(), model.where("vocab"))});
  }
}

// "a b", or ["a", "b"] since tokenizers 0.20.
std::pair<std::string, std::string> read_merge(const JsonObject& model,
                                               const nlohmann::json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const size_t blank = text.find(' ', 1);
    if (blank != std::string::npos && blank + 1 < text.size()) {
      return {text.substr(0, blank), text.substr(blank + 1)};
    }
  }
  refuse(model, "merges", fmt::format("bad merge {}", merge.dump()), "\"a b\" or [\"a\", \"b\"]");
}

void read_merges(const JsonObject& model, BpeParts* parts) {
  const nlohmann::json* merges = model.find("merges");
  if (!merges || !merges->is_array()) refuse(model, "merges", "no merges", "an array");
  parts->merges.reserve(merges->size());
  for (const nlohmann::json& merge : *merges) parts->merges.push_back(read_merge(model, merge));
}

void read_options(const JsonObject& model, BpeParts* parts) {
  parts->options.ignore_merges = model.boolean("ignore_merges").value_or(false);
  parts->options.byte_fallback = model.boolean("byte_fallback").value_or(false);
  parts->options.fuse_unk = model.boolean("fuse_unk").value_or(false);
  const std::optional<std::string> unk = model.string("unk_token");
  if (!unk) return;
  for (const BpeParts::VocabularyEntry& entry : parts->vocabulary) {
    if (entry.text == *unk) parts->options.unk_id = entry.id;
  }
  if (!parts->options.unk_id) refuse(model, "unk_token", "not in the vocabulary");
}

void read_added_tokens(const JsonObject& file, BpeParts* parts) {
  for (const JsonObject& entry : json_objects(file, "added_tokens")) {
    const std::optional<int64_t> id = entry.integer("id");
    if (!id) refuse(entry, "id", "missing key");
    AddedToken token;
    token.id = checked_token_id(*id, entry.where("id"));
    token.content = required_string(entry, "content");
    token.special = entry.boolean("special").value_or(false);
    token.normalized = entry.boolean("normalized").value_or(!token.special);
    token.single_word = entry.boolean("single_word").value_or(false);
    token.lstrip = entry.boolean("lstrip").value_or(false);
    token.rstrip = entry.boolean("rstrip").value_or(false);
    parts->added.push_back(std::move(token));
  }
}

// {"SpecialToken": {"id": "<s>"}} and {"Sequence": {"id": "A"}} in order; the ids of the former are
// in `special_tokens`.
void read_template(const JsonObject& processor, SpecialTokens* special) {
  const std::optional<JsonObject> table = processor.object("special_tokens");
  bool after = false;
  for (const JsonObject& part : json_objects(processor, "single")) {
    const std::optional<JsonObject> token = part.object("SpecialToken");
    if (!token) {
      after = true;
      continue;
    }
    const std::string name = required_string(*token, "id");
    const std::optional<JsonObject> row = table ? table->object(name) : std::nullopt;
    if (!row) refuse(processor, "special_tokens", fmt::format("no entry for '{}'", name));
    for (const int64_t id : row->integers("ids").value_or(std::vector<int64_t>{})) {
      (after ? special->after : special->before).push_back(checked_token_id(id, row->where("ids")));
    }
  }
}

void read_post_processor(const JsonObject& processor, SpecialTokens* special) {
  const std::string type = required_string(processor, "type");
  if (type == "Sequence") {
    for (const JsonObject& part : json_objects(processor, "processors")) {
      read_post_processor(part, special);
    }
  } else if (type == "TemplateProcessing") {
    read_template(processor, special);
  } else if (type != "ByteLevel") {  // ByteLevel only moves offsets
    throw unknown_name("post-processor", type,
                       std::vector<std::string>{"Sequence", "TemplateProcessing", "ByteLevel"},
                       processor.where("type"));
  }
}

// Whether the decoder drops the blank that the normalizer or Metaspace put in front.
bool strips_first_space(const JsonObject& decoder) {
  const std::string type = decoder.string("type").value_or("");
  if (type == "Sequence") {
    for (const JsonObject& part : json_objects(decoder, "decoders")) {
      if (strips_first_space(part)) return true;
    }
    return false;
  }
  if (type == "Strip") {
    return decoder.string("content") == " " && decoder.integer("start").value_or(0) > 0;
  }
  return type == "Metaspace" && decoder.string("prepend_scheme").value_or("always") != "never" &&
         decoder.boolean("add_prefix_space").value_or(true);
}

int32_t id_of(const BpeParts& parts, const std::string& content) {
  for (const AddedToken& token : parts.added) {
    if (token.content == content) return token.id;
  }
  for (const BpeParts::VocabularyEntry& entry : parts.vocabulary) {
    if (entry.text == content) return entry.id;
  }
  return -1;
}

int32_t begin_of_text(const BpeParts& parts, const std::string& path) {
  const fs::path config = fs::path(path).parent_path() / "tokenizer_config.json";
  if (fs::exists(config)) {
    const std::string content = token_content(JsonObject::read(config.string()), "bos_token");
    return content.empty() ? -1 : id_of(parts, content);
  }
  return parts.special.before.empty() ? -1 : parts.special.before.front();
}

}  // namespace

int32_t checked_token_id(int64_t id, const std::string& where) {
  if (id < 0 || id > kMaxTokenId) {
    throw Error({.what = "bad token id",
                 .where = where,
                 .expected = fmt::format("0 to {}", kMaxTokenId),
                 .got = fmt::format("{}", id)});
  }
  return static_cast<int32_t>(id);
}

std::string token_content(const JsonObject& config, std::string_view key) {
  const nlohmann::json* value = config.find(key);
  if (!value || value->is_null()) return "";
  if (value->is_object()) return config.object(key)->string("content").value_or("");
  return config.string(key).value_or("");
}

std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::string& path) {
  const JsonObject file = JsonObject::read(path);
  const JsonObject model = model_of(file);
  BpeParts parts;
  parts.where = path;
  read_vocabulary(model, &parts);
  read_merges(model, &parts);
  read_options(model, &parts);
  read_added_tokens(file, &parts);
  parts.normalizer = hf_normalizer(file);
  parts.pre_tokenizer = hf_pre_tokenizer(file);
  if (!parts.pre_tokenizer.byte_level() && !parts.options.byte_fallback) {
    refuse(file, "pre_tokenizer", "neither byte-level nor with byte_fallback",
           "a ByteLevel pre-tokenizer, or byte_fallback: true in the model");
  }
  if (const auto processor = file.object("post_processor")) {
    read_post_processor(*processor, &parts.special);
  }
  parts.special.begin_of_text = begin_of_text(parts, path);
  const std::optional<JsonObject> decoder = file.object("decoder");
  parts.strip_first_space = decoder && strips_first_space(*decoder);
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace skipbench
