// Ids and texts against Hugging Face tokenizers and sentencepiece.
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/tokenizer/utf8.h"
#include "tests/tokenizer/fixtures.h"

namespace skipbench {
namespace {

using Ids = std::vector<int32_t>;

void expect_case(const Tokenizer& tokenizer, const nlohmann::json& reference,
                 const std::string& name) {
  for (size_t i = 0; i < expected_texts().size(); ++i) {
    const std::string& text = expected_texts()[i];
    const Ids data = reference["data"][i];
    EXPECT_EQ(encode_as(tokenizer, text, false), data) << name << ", data: " << text;
    EXPECT_EQ(encode_as(tokenizer, text, true), Ids(reference["template"][i]))
        << name << ", template: " << text;
    // The library writes U+FFFD where the vocabulary lacks some bytes of a character, and for an
    // added token of one Latin-1 character, which it takes for a byte.
    const std::string decoded = reference["decoded"][i];
    if (decoded.find("\uFFFD") == std::string::npos) {
      EXPECT_EQ(tokenizer.decode(data, true), decoded) << name << ": " << text;
    }
  }
  const std::string text = reference["add_special"]["text"];
  EXPECT_EQ(tokenizer.encode(text, true), Ids(reference["add_special"]["ids"])) << name;
}

class HfReference : public testing::TestWithParam<std::string> {};

TEST_P(HfReference, TokenizerJson) {
  const auto tokenizer = load_tokenizer(tokenizer_fixture(GetParam()));
  expect_case(*tokenizer, expected()["hf"][GetParam()], GetParam());
}

INSTANTIATE_TEST_SUITE_P(Kinds, HfReference,
                         testing::Values("gpt2", "smollm", "llama3", "qwen2", "bloom", "falcon",
                                         "deepseek-coder", "options", "llama-json",
                                         "metaspace-json"),
                         [](const auto& kind) {
                           std::string name = kind.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(GgufReference, Gpt2KindGivesTheIdsOfTheTokenizerJson) {
  for (const std::string name :
       {"gpt2", "smollm", "llama3", "qwen2", "bloom", "falcon", "deepseek-coder"}) {
    const auto tokenizer = load_tokenizer(tokenizer_fixture(name + ".gguf"));
    const nlohmann::json& reference = expected()["hf"][name];
    for (size_t i = 0; i < expected_texts().size(); ++i) {
      const std::string& text = expected_texts()[i];
      EXPECT_EQ(encode_as(*tokenizer, text, false), Ids(reference["data"][i])) << name << text;
      EXPECT_EQ(encode_as(*tokenizer, text, true), Ids(reference["template"][i])) << name << text;
    }
    EXPECT_EQ(tokenizer->begin_of_text_id(), 0);
    const bool adds_bos = name == "llama3";  // by its name, without tokenizer.ggml.add_bos_token
    EXPECT_EQ(tokenizer->encode("a", true).size(), adds_bos ? 2u : 1u) << name;
  }
}

TEST(GgufReference, PaddingTokensAreNotFoundInTexts) {
  const auto tokenizer = load_tokenizer(tokenizer_fixture("gpt2.gguf"));
  const int32_t last = tokenizer->vocab_size() - 1;
  const std::string name = tokenizer->decode(Ids{last}, false);
  EXPECT_TRUE(name.starts_with("[PAD")) << name;
  EXPECT_GT(encode_as(*tokenizer, name, true).size(), 1u);
}

void expect_sentencepiece(const std::string& path, const std::string& reference_name) {
  const auto tokenizer = load_tokenizer(path);
  const nlohmann::json& reference = expected()["sentencepiece"][reference_name];
  for (size_t i = 0; i < expected_texts().size(); ++i) {
    const Ids ids = reference["ids"][i];
    EXPECT_EQ(tokenizer->encode(expected_texts()[i]), ids) << path << ": " << expected_texts()[i];
    EXPECT_EQ(tokenizer->decode(ids, true), reference["decoded"][i].get<std::string>()) << path;
  }
}

TEST(SentencePiece, ModelFiles) {
  expect_sentencepiece(tokenizer_fixture("spm-bpe"), "spm-bpe");
  expect_sentencepiece(tokenizer_fixture("spm-bpe/tokenizer.model"), "spm-bpe");
  expect_sentencepiece(tokenizer_fixture("spm-unigram"), "spm-unigram");
}

// sentencepiece puts no blank after a user-defined token, llama.cpp and transformers do; the texts
// without one have equal ids.
TEST(SentencePiece, LlamaKindOfGguf) {
  const auto gguf = load_tokenizer(tokenizer_fixture("spm-bpe.gguf"));
  const nlohmann::json& reference = expected()["sentencepiece"]["spm-bpe"];
  for (size_t i = 0; i < expected_texts().size(); ++i) {
    const std::string& text = expected_texts()[i];
    if (text.find("<b>") != std::string::npos) continue;
    const Ids ids = reference["ids"][i];
    EXPECT_EQ(gguf->encode(text), ids) << text;
    EXPECT_EQ(gguf->decode(ids, true), reference["decoded"][i].get<std::string>());
  }
  const Ids with_special = gguf->encode("a", true);
  EXPECT_EQ(with_special.front(), 1);
  EXPECT_EQ(with_special.back(), 2);  // add_eos_token is set in the file
}

TEST(SentencePiece, InvalidBytesBecomeReplacementCharacters) {
  for (const char* name : {"spm-bpe", "spm-bpe.gguf", "llama-json"}) {
    const auto tokenizer = load_tokenizer(tokenizer_fixture(name));
    const std::string broken = "a\xFF\xE4\xBD b\xED\xA0\x80";
    const std::string replaced = replace_invalid_utf8(broken);
    EXPECT_EQ(replaced, "a\uFFFD\uFFFD\uFFFD b\uFFFD\uFFFD\uFFFD");
    EXPECT_EQ(tokenizer->encode(broken), tokenizer->encode(replaced)) << name;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(broken), true), replaced) << name;
  }
}

TEST(SentencePiece, ControlTokensAreRecognisedInTemplateTextAlone) {
  for (const char* name : {"spm-bpe", "spm-bpe.gguf", "llama-json"}) {
    const auto tokenizer = load_tokenizer(tokenizer_fixture(name));
    const Ids ids = encode_as(*tokenizer, "<s>Hallo</s>", true);
    EXPECT_EQ(ids.front(), 1) << name;
    EXPECT_EQ(ids.back(), 2) << name;
    EXPECT_EQ(tokenizer->decode(ids, true), "Hallo") << name;
    for (const int32_t id : encode_as(*tokenizer, "<s>Hallo</s>", false)) EXPECT_GT(id, 2) << name;
  }
}

TEST(DemoModel, IdsOfSmolLm2) {
  const std::string folder = std::string(SKIPBENCH_SOURCE_DIR) + "/models/smollm2-135m";
  if (!std::filesystem::exists(folder + "/SmolLM2-135M-Instruct.Q4_1.gguf")) {
    GTEST_SKIP() << "the demo model is absent; scripts/fetch_model smollm2 fetches it";
  }
  const auto tokenizer = load_tokenizer(folder);
  expect_case(*tokenizer, expected()["demo"], "SmolLM2");
  EXPECT_EQ(tokenizer->vocab_size(), 49152);
  EXPECT_EQ(tokenizer->begin_of_text_id(), 1);
}

}  // namespace
}  // namespace skipbench
