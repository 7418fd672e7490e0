#include "engine/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "engine/tokenizer/utf8.h"

namespace skipbench {
namespace {

// Begin of the last character of `text`, which is not empty.
size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return at;
}

size_t strip_left(std::string_view text, size_t begin, size_t limit) {
  while (begin > limit) {
    const size_t at = last_character(text.substr(0, begin));
    if (at < limit || !is_white_space(first_character(text.substr(at)).code_point)) break;
    begin = at;
  }
  return begin;
}

size_t strip_right(std::string_view text, size_t end) {
  while (end < text.size()) {
    const Utf8Character next = first_character(text.substr(end));
    if (next.bytes == 0 || !is_white_space(next.code_point)) break;
    end += next.bytes;
  }
  return end;
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  if (begin > 0) {
    const size_t at = last_character(text.substr(0, begin));
    if (is_word_character(first_character(text.substr(at)).code_point)) return false;
  }
  return end == text.size() || !is_word_character(first_character(text.substr(end)).code_point);
}

}  // namespace

SegmentedText::SegmentedText(std::span<const TextSegment> segments) {
  for (const TextSegment& segment : segments) {
    const size_t begin = text_.size();
    text_ += segment.text;
    if (!segment.is_template || segment.text.empty()) continue;
    if (!templates_.empty() && templates_.back().end == begin) {
      templates_.back().end = text_.size();
    } else {
      templates_.push_back({begin, text_.size()});
    }
  }
}

bool SegmentedText::in_template(size_t begin, size_t end) const {
  const auto after = std::upper_bound(templates_.begin(), templates_.end(), begin,
                                      [](size_t at, const Range& r) { return at < r.begin; });
  return after != templates_.begin() && end <= std::prev(after)->end;
}

void AddedTokens::add(AddedToken token) {
  if (token.content.empty()) return;
  std::vector<AddedToken>& bucket = by_first_byte_[static_cast<uint8_t>(token.content[0])];
  const auto place = std::find_if(bucket.begin(), bucket.end(), [&token](const AddedToken& other) {
    return other.content.size() < token.content.size();
  });
  bucket.insert(place, std::move(token));
  empty_ = false;
}

const AddedToken* AddedTokens::find(std::string_view text, size_t at,
                                    const SegmentedText* prompt) const {
  for (const AddedToken& token : by_first_byte_[static_cast<uint8_t>(text[at])]) {
    if (!text.substr(at).starts_with(token.content)) continue;
    const size_t end = at + token.content.size();
    if (token.special && (!prompt || !prompt->in_template(at, end))) continue;
    if (token.single_word && !stands_alone(text, at, end)) continue;
    return &token;
  }
  return nullptr;
}

std::vector<AddedTokens::Piece> AddedTokens::split(std::string_view text,
                                                   const SegmentedText* prompt) const {
  std::vector<Piece> pieces;
  size_t done = 0;  // everything before it is in `pieces`
  for (size_t at = 0; !empty_ && at < text.size();) {
    const AddedToken* token = find(text, at, prompt);
    if (!token) {
      ++at;
      continue;
    }
    const size_t begin = token->lstrip ? strip_left(text, at, done) : at;
    size_t end = at + token->content.size();
    if (token->rstrip) end = strip_right(text, end);
    if (begin > done) pieces.push_back({-1, text.substr(done, begin - done)});
    pieces.push_back({token->id, text.substr(begin, end - begin)});
    at = done = end;
  }
  if (done < text.size()) pieces.push_back({-1, text.substr(done)});
  return pieces;
}

}  // namespace skipbench
