#include "engine/tokenizer/bpe_tokenizer.h"

#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/spm_text.h"
#include "engine/tokenizer/utf8.h"

namespace skipbench {
namespace {

std::string replace_all(const Normalizer::Replace& step, std::string_view text) {
  std::string out;
  size_t at = 0;
  step.pattern.for_each_match(text, [&](size_t begin, size_t end) {
    out += text.substr(at, begin - at);
    out += step.by;
    at = end;
  });
  out += text.substr(at);
  return out;
}

}  // namespace

std::string Normalizer::apply(std::string_view text) const {
  std::string out(text);
  for (const Step& step : steps_) {
    if (std::holds_alternative<Nfc>(step)) {
      out = normalize_nfc(out);
    } else if (const auto* prepend = std::get_if<Prepend>(&step)) {
      if (!out.empty()) out.insert(0, prepend->text);
    } else {
      out = replace_all(std::get<Replace>(step), out);
    }
  }
  return out;
}

BpeTokenizer::BpeTokenizer(BpeParts parts)
    : model_(parts.options),
      normalizer_(std::move(parts.normalizer)),
      pre_tokenizer_(std::move(parts.pre_tokenizer)) {
  special_ = std::move(parts.special);
  strip_first_space_ = parts.strip_first_space;
  for (BpeParts::VocabularyEntry& entry : parts.vocabulary) {
    set_token(entry.id, {pre_tokenizer_.byte_level() ? byte_level_decode(entry.text)
                                                     : spm_token_bytes(entry.text)});
    if (entry.model_token) model_.add_token(std::move(entry.text), entry.id);
  }
  for (const auto& [left, right] : parts.merges) model_.add_merge(left, right, parts.where);
  for (AddedToken& token : parts.added) {
    if (token.normalized && !token.special) {
      set_token(token.id, {token.content, token.special});
      token.content = normalizer_.apply(token.content);
      normalized_added_.add(std::move(token));
    } else {
      add_added_token(token);
    }
  }
}

void BpeTokenizer::encode_text(std::string_view text, bool is_first,
                               std::vector<int32_t>* ids) const {
  if (!pre_tokenizer_.byte_level()) {
    return encode_valid(replace_invalid_utf8(text), is_first, ids);
  }
  for_each_utf8_run(text, [&](std::string_view run, bool valid) {
    if (valid) {
      encode_valid(run, is_first, ids);
    } else {
      model_.encode_word(byte_level_encode(run), ids);
    }
    is_first = false;
  });
}

void BpeTokenizer::encode_valid(std::string_view text, bool is_first,
                                std::vector<int32_t>* ids) const {
  const std::string normalized = normalizer_.apply(text);
  for (const AddedTokens::Piece& piece : normalized_added_.split(normalized, nullptr)) {
    if (piece.id >= 0) {
      ids->push_back(piece.id);
    } else {
      for (const std::string& word : pre_tokenizer_.split(piece.text, is_first)) {
        model_.encode_word(word, ids);
      }
    }
    is_first = false;
  }
}

}  // namespace skipbench
