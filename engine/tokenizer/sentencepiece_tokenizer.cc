// sentencepiece .model files through libsentencepiece.
#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <charconv>
#include <filesystem>

#include "engine/base/charsmap.h"
#include "engine/base/error.h"
#include "engine/base/mapped_file.h"
#include "engine/tokenizer/loaders.h"
#include "engine/tokenizer/spm_text.h"
#include "engine/tokenizer/vocabulary_tokenizer.h"

namespace skipbench {
namespace {

namespace fs = std::filesystem;
using sentencepiece::SentencePieceProcessor;

class SentencePieceTokenizer : public VocabularyTokenizer {
 public:
  explicit SentencePieceTokenizer(const std::string& path) {
    load(path);
    read_pieces();
    const fs::path folder = fs::path(path).parent_path();
    bool add_bos = true;  // transformers' LlamaTokenizer
    bool add_eos = false;
    if (const fs::path file = folder / "tokenizer_config.json"; fs::exists(file)) {
      const JsonObject config = JsonObject::read(file.string());
      add_bos = config.boolean("add_bos_token").value_or(add_bos);
      add_eos = config.boolean("add_eos_token").value_or(add_eos);
      read_added_tokens_decoder(config);
    }
    if (const fs::path file = folder / "added_tokens.json"; fs::exists(file)) {
      read_added_tokens(JsonObject::read(file.string()));
    }
    special_.begin_of_text = processor_.bos_id();
    if (add_bos && processor_.bos_id() >= 0) special_.before.push_back(processor_.bos_id());
    if (add_eos && processor_.eos_id() >= 0) special_.after.push_back(processor_.eos_id());
  }

 protected:
  void encode_text(std::string_view text, bool, std::vector<int32_t>* ids) const override {
    std::vector<int> pieces;
    const sentencepiece::util::Status status = processor_.Encode(text, &pieces);
    if (!status.ok()) throw Error({.what = "sentencepiece failed", .got = status.ToString()});
    ids->insert(ids->end(), pieces.begin(), pieces.end());
  }

 private:
  void load(const std::string& path) {
    const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
    const std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()),
                                 file->bytes().size());
    check_charsmaps(bytes, path);
    const auto status = processor_.LoadFromSerializedProto({bytes.data(), bytes.size()});
    if (!status.ok() || processor_.GetPieceSize() == 0) {
      throw Error({.what = "not a tokenizer",
                   .where = path,
                   .expected = "a GGUF, a tokenizer.json or a sentencepiece model",
                   .got = status.ToString()});
    }
  }

  // The library's own decoding replaces bytes that are no UTF-8; here they are kept, so tokens are
  // decoded one by one, and the library is asked what it makes of unknown ones and of the first
  // blank.
  void read_pieces() {
    for (int32_t id = 0; id < processor_.GetPieceSize(); ++id) {
      const std::string& piece = processor_.IdToPiece(id);
      if (processor_.IsControl(id)) {
        add_added_token({.id = id, .content = piece, .special = true});
      } else if (processor_.IsUnknown(id)) {
        set_token(id, {processor_.DecodeIds({id})});
      } else {
        set_token(id, {spm_token_bytes(piece)});
      }
    }
    const std::string probe = std::string(kSpmBlank) + "a";
    strip_first_space_ = processor_.DecodePieces(std::vector<std::string>{probe}) == "a";
  }

  // {"32000": {"content": "<|im_start|>", "special": true}, ...}
  void read_added_tokens_decoder(const JsonObject& config) {
    const std::optional<JsonObject> table = config.object("added_tokens_decoder");
    if (!table) return;
    for (const std::string& key : table->keys()) {
      int64_t id = -1;
      std::from_chars(key.data(), key.data() + key.size(), id);
      const std::optional<JsonObject> entry = table->object(key);
      if (!entry) continue;
      add_added_token({.id = checked_token_id(id, table->where(key)),
                       .content = required_string(*entry, "content"),
                       .special = entry->boolean("special").value_or(false),
                       .single_word = entry->boolean("single_word").value_or(false),
                       .lstrip = entry->boolean("lstrip").value_or(false),
                       .rstrip = entry->boolean("rstrip").value_or(false)});
    }
  }

  // {"<|im_start|>": 32000, ...}: the older form, which does not say which ones are special.
  void read_added_tokens(const JsonObject& table) {
    for (const std::string& content : table.keys()) {
      const std::optional<int64_t> id = table.integer(content);
      if (!id || *id < vocab_size()) continue;
      add_added_token(
          {.id = checked_token_id(*id, table.where(content)), .content = content, .special = true});
    }
  }

  SentencePieceProcessor processor_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const std::string& path) {
  return std::make_unique<SentencePieceTokenizer>(path);
}

}  // namespace skipbench
