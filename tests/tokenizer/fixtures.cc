#include "tests/tokenizer/fixtures.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "engine/base/error.h"

namespace skipbench {

std::string tokenizer_fixture(const std::string& name) {
  return std::string(SKIPBENCH_SOURCE_DIR) + "/tests/fixtures/tokenizer/" + name;
}

std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

const nlohmann::json& expected() {
  static const nlohmann::json value =
      nlohmann::json::parse(read_bytes(tokenizer_fixture("expected.json")));
  return value;
}

const std::vector<std::string>& expected_texts() {
  static const std::vector<std::string> texts = expected()["texts"];
  return texts;
}

std::vector<int32_t> encode_as(const Tokenizer& tokenizer, const std::string& text,
                               bool is_template) {
  const TextSegment segment{text, is_template};
  return tokenizer.encode(std::span(&segment, 1), false);
}

std::string random_bytes(std::mt19937* random, size_t max_length) {
  // Bytes that are often parts of sequences, so that valid and broken ones both occur.
  static const std::vector<std::string> kParts{"a",        " ",        "\n",       "\xC3\xA9",
                                               "\xE4\xBD", "\xF0\x9F", "\x98\x80", "\xED\xA0\x80",
                                               "\xC0\x80", "\xCC\x81", "9",        "'s"};
  std::uniform_int_distribution<size_t> length(0, max_length), part(0, kParts.size() * 2);
  std::uniform_int_distribution<int> byte(0, 255);
  std::string bytes;
  for (size_t i = length(*random); i > 0; --i) {
    const size_t which = part(*random);
    bytes +=
        which < kParts.size() ? kParts[which] : std::string(1, static_cast<char>(byte(*random)));
  }
  return bytes;
}

std::string load_error(const std::string& path) {
  try {
    load_tokenizer(path);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << path << " was loaded";
  return "";
}

}  // namespace skipbench
