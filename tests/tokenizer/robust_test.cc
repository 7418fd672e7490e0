// Wrong and broken files are refused with an Error that says where; nothing crashes.
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/base/error.h"
#include "tests/tokenizer/fixtures.h"

namespace skipbench {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Robust : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("skipbench_tokenizer_" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Path of a file with `bytes` in the test's own folder.
  std::string file(const std::string& name, const std::string& bytes) {
    write_bytes((folder_ / name).string(), bytes);
    return (folder_ / name).string();
  }

  fs::path folder_;
};

void expect_says(const std::string& message, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
  }
}

TEST_F(Robust, MissingThings) {
  expect_says(load_error((folder_ / "nothing").string()), {"nothing", "no such file"});
  expect_says(load_error(folder_.string()), {"tokenizer.json", "tokenizer.model", ".gguf"});
  file("a.gguf", "GGUF");
  file("b.gguf", "GGUF");
  expect_says(load_error(folder_.string()), {"2 GGUFs"});
  expect_says(load_error(file("empty", "")), {"empty"});
  expect_says(load_error(file("text", "just text")), {"text", "not a tokenizer"});
  expect_says(load_error(file("config.json", "{\"hidden_size\": 3}")), {"config.json", "model"});
}

TEST_F(Robust, TokenizerJsonKindsThatAreNotSupported) {
  const json good = json::parse(read_bytes(tokenizer_fixture("gpt2/tokenizer.json")));
  struct Case {
    const char* pointer;
    json value;
    std::initializer_list<const char*> says;
  };
  const Case cases[] = {
      {"/model/type", "Unigram", {"model.type", "Unigram", "tokenizer.model"}},
      {"/model/type", "WordPiece", {"WordPiece", "BPE"}},
      {"/model/end_of_word_suffix", "</w>", {"end_of_word_suffix"}},
      {"/model/merges/0", "a", {"merges", "bad merge"}},
      {"/model/merges/0", "a xyzzyx", {"xyzzyx", "not in the vocabulary"}},
      {"/model/merges", 3, {"merges"}},
      {"/model/vocab/a", -5, {"vocab", "-5"}},
      {"/model/vocab/a", 4000000000u, {"vocab", "4000000000"}},
      {"/model/vocab/a", "x", {"vocab"}},
      {"/model/unk_token", "<nope>", {"unk_token"}},
      {"/pre_tokenizer/type", "BertPreTokenizer", {"pre_tokenizer.type", "BertPreTokenizer"}},
      {"/pre_tokenizer", nullptr, {"pre_tokenizer", "byte_fallback"}},
      {"/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "("}}}}, {"Regex", "'('"}},
      {"/pre_tokenizer", {{"type", "Split"}}, {"pattern"}},
      {"/normalizer", {{"type", "Lowercase"}}, {"normalizer.type", "Lowercase", "NFC"}},
      {"/post_processor", {{"type", "BertProcessing"}}, {"post_processor.type", "BertProcessing"}},
      {"/added_tokens/0/id", "x", {"added_tokens[0].id"}},
      {"/added_tokens/0", 5, {"added_tokens[0]"}},
  };
  for (const Case& change : cases) {
    json broken = good;
    broken[json::json_pointer(change.pointer)] = change.value;
    SCOPED_TRACE(change.pointer);
    expect_says(load_error(file("tokenizer.json", broken.dump())), change.says);
  }
}

std::string with(std::string bytes, const std::string& from, const std::string& to) {
  const size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return bytes.replace(at, from.size(), to);
}

TEST_F(Robust, GgufKindsThatAreNotSupported) {
  const std::string good = read_bytes(tokenizer_fixture("gpt2.gguf"));
  expect_says(load_error(file("a.gguf", with(good, "gpt-2", "gpt-9"))),
              {"tokenizer.ggml.pre", "gpt-9", "known (nearest first): gpt-2"});
  expect_says(load_error(file("b.gguf", with(good, "gpt2", "bert"))),
              {"tokenizer.ggml.model", "bert", "llama"});
  expect_says(load_error(file("c.gguf", with(good, "tokenizer.ggml.pre", "tokenizer.ggml.xyz"))),
              {"tokenizer.ggml.pre", "pre-tokenizer"});
  expect_says(
      load_error(file("d.gguf", with(good, "tokenizer.ggml.tokens", "tokenizer.ggml.xxxxxx"))),
      {"tokenizer.ggml.tokens"});
  const std::string spm = read_bytes(tokenizer_fixture("spm-bpe.gguf"));
  expect_says(
      load_error(file("e.gguf", with(spm, "tokenizer.ggml.scores", "tokenizer.ggml.xxxxxx"))),
      {"tokenizer.ggml.scores"});
}

// Loads what was damaged; whatever still loads must encode and decode.
void load_damaged(const std::string& path) {
  try {
    const auto tokenizer = load_tokenizer(path);
    const std::vector<int32_t> ids = tokenizer->encode("H\u00F6r mal, 12 \xFF", true);
    tokenizer->decode(ids, false);
  } catch (const Error&) {
  }
}

TEST_F(Robust, DamagedFiles) {
  std::mt19937 random(23);
  for (const char* name : {"gpt2.gguf", "spm-bpe.gguf", "options/tokenizer.json",
                           "llama-json/tokenizer.json", "spm-bpe/tokenizer.model"}) {
    SCOPED_TRACE(name);
    const std::string good = read_bytes(tokenizer_fixture(name));
    for (int i = 0; i < 60; ++i) {
      load_damaged(file("damaged", good.substr(0, random() % good.size())));
      std::string flipped = good;
      for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
        // Half of them near the beginning, where lengths and types are.
        const size_t range = random() % 2 ? good.size() : std::min<size_t>(good.size(), 600);
        flipped[random() % range] = static_cast<char>(random());
      }
      load_damaged(file("damaged", flipped));
    }
  }
}

// libsentencepiece follows the map of characters (nearly all of this file) without a look at its
// bounds: what would lead it astray is refused, and what is left is safe.
TEST_F(Robust, DamagedCharacterMaps) {
  const std::string good = read_bytes(tokenizer_fixture("spm-unigram/tokenizer.model"));
  std::mt19937 random(29);
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    std::string flipped = good;
    for (int flips = 1 << random() % 12; flips > 0; --flips) {
      flipped[good.size() / 8 + random() % (good.size() * 7 / 8)] = static_cast<char>(random());
    }
    const std::string path = file("damaged", flipped);
    try {
      load_tokenizer(path)->encode("H\u00F6r mal, \u2460\u3300 \uFB01 12 \xFF", true);
    } catch (const Error& error) {
      refused += std::string(error.what()).find("character map") != std::string::npos ? 1 : 0;
    }
  }
  EXPECT_GE(refused, 10);
}

}  // namespace
}  // namespace skipbench
