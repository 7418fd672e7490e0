// What tests/fixtures/make_tokenizer_fixtures.py made.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace skipbench {

// Path of a file or folder in tests/fixtures/tokenizer.
std::string tokenizer_fixture(const std::string& name);

const nlohmann::json& expected();                  // expected.json
const std::vector<std::string>& expected_texts();  // its texts

// Ids of `text` as one segment.
std::vector<int32_t> encode_as(const Tokenizer& tokenizer, const std::string& text,
                               bool is_template);

std::string read_bytes(const std::string& path);
void write_bytes(const std::string& path, const std::string& bytes);
std::string random_bytes(std::mt19937* random, size_t max_length);

// What the Error says that `load_tokenizer(path)` throws; "" and a test failure without one.
std::string load_error(const std::string& path);

}  // namespace skipbench
