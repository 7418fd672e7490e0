// The pre-tokenizers that GGUF files name in `tokenizer.ggml.pre`. A GGUF stores the name alone;
// the patterns are those of the models' tokenizer.json files.
#include <array>
#include <utility>

#include "engine/base/error.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace skipbench {
namespace {

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
    R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Commas, full stops and question marks of several scripts.
constexpr std::string_view kBloom =
    R"( ?[^(\s|[.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C}])]+)";
constexpr std::string_view kNumber = R"(\p{N})";
constexpr std::string_view kNumbers = R"(\p{N}+)";
// Rust's is_ascii_punctuation or category P, contiguous.
constexpr std::string_view kPunctuation = R"([\p{P}!-/:-@\x5B-`{-~]+)";
constexpr std::string_view kThreeDigits = "[0-9][0-9][0-9]";
constexpr std::string_view kLineBreak = "[\r\n]";
// Cased letters of category L as DeepSeek-LLM's tokenizer.json lists them.
constexpr std::string_view kDeepSeekLetters =
    R"(\s?[)"
    R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293})"
    R"(\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A})"
    R"(\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556})"
    R"(\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF})"
    R"(\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D})"
    R"(\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D})"
    R"(\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4})"
    R"(\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4})"
    R"(\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124})"
    R"(\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F})"
    R"(\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F})"
    R"(\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17})"
    R"(\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3})"
    R"(\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF})"
    R"(\x{1E900}-\x{1E943})"
    R"(]+)";
constexpr std::string_view kDeepSeekPunctuation =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)";
constexpr std::string_view kBlanksAtEnd = "\\s+$";
constexpr std::string_view kEastAsian = R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";
constexpr std::string_view kSpacedLetters = "\\s?\\p{L}+";
constexpr std::string_view kSpacedPunctuation = "\\s?\\p{P}+";

struct Row {
  std::string_view name;
  std::array<std::string_view, 6> patterns;  // one isolating Split each; empty ones are none
  bool gpt2_last = false;                    // ByteLevel with GPT-2's own pattern
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;
};

constexpr Row kRows[] = {
    {"gpt-2", {}, true},
    {"phi-2", {}, true},
    {"olmo", {}, true},
    {"mpt", {}, true, true},
    {"smollm", {kNumber}, true},
    {"starcoder", {kNumber}, true},
    {"refact", {kNumber}, true},
    {"command-r", {kNumber}, true, true},
    {"llama-bpe", {kLlama3}, false, false, true, true},
    {"llama3", {kLlama3}, false, false, true, true},
    {"llama-v3", {kLlama3}, false, false, true, true},
    {"qwen2", {kQwen2}, false, true},
    {"qwen35", {kQwen35}},
    {"bloom", {kBloom}},
    {"deepseek-llm",
     {kLineBreak, kDeepSeekLetters, kDeepSeekPunctuation, kBlanksAtEnd, kEastAsian, kNumbers}},
    {"deepseek-coder", {kLineBreak, kSpacedLetters, kSpacedPunctuation, kEastAsian, kNumber}},
};

// Falcon's ByteLevel is not its last step: what follows sees byte-level characters, three of which
// (U+00B2, U+00B3, U+00B9) are numbers.
std::vector<PreTokenizer::Step> falcon_steps(const std::string& where) {
  std::vector<PreTokenizer::Step> steps;
  steps.emplace_back(SplitStep{Regex(kPunctuation, where)});
  steps.emplace_back(ByteLevelStep{false, gpt2_pattern()});
  steps.emplace_back(SplitStep{Regex(kNumbers, where)});
  steps.emplace_back(SplitStep{Regex(kThreeDigits, where)});
  return steps;
}

std::vector<PreTokenizer::Step> steps_of(const Row& row, const std::string& where) {
  std::vector<PreTokenizer::Step> steps;
  for (const std::string_view pattern : row.patterns) {
    if (!pattern.empty()) steps.emplace_back(SplitStep{Regex(pattern, where)});
  }
  ByteLevelStep byte_level;
  if (row.gpt2_last) byte_level.pattern = gpt2_pattern();
  steps.emplace_back(std::move(byte_level));
  return steps;
}

}  // namespace

Regex gpt2_pattern() { return Regex(kGpt2, "GPT-2's pattern"); }

NamedPreTokenizer named_pre_tokenizer(std::string_view name, const std::string& where) {
  if (name == "falcon") return {PreTokenizer(falcon_steps(where))};
  std::vector<std::string> known{"falcon"};
  for (const Row& row : kRows) {
    if (row.name == name) {
      return {PreTokenizer(steps_of(row, where)), row.nfc, row.ignore_merges, row.add_bos};
    }
    known.emplace_back(row.name);
  }
  throw unknown_name("pre-tokenizer", name, known, where);
}

}  // namespace skipbench
