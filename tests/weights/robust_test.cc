// Broken files: every one loads or throws an Error; nothing crashes (run under ASan and UBSan).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "engine/base/error.h"
#include "engine/weights/gguf.h"
#include "engine/weights/load.h"
#include "engine/weights/safetensors.h"
#include "tests/weights/model_writer.h"

namespace skipbench {
namespace {

using test::GgufWriter;
using test::llama_config;
using test::llama_gguf;
using test::llama_tensors;
using test::load_error;
using test::read_file;
using test::safetensors_bytes;
using test::safetensors_raw;
using test::TempFolder;
using test::TinyShape;

const TinyShape kTiny = {.layers = 1,
                         .hidden = 4,
                         .heads = 2,
                         .kv_heads = 1,
                         .head_dim = 2,
                         .intermediate = 6,
                         .vocab = 3};

// Shortens `file` byte by byte; `path` is the model, `first_part` what the message about the first
// missing byte must say: once the table of tensors is whole, which one is cut off and where.
void expect_every_truncation_refused(const std::string& path, const std::string& file,
                                     const std::string& first_part) {
  const auto size = static_cast<int64_t>(std::filesystem::file_size(file));
  ASSERT_NO_THROW(load_model(path));
  for (int64_t length = size - 1; length >= 0; --length) {
    std::filesystem::resize_file(file, length);
    const std::string text = load_error(path);
    ASSERT_NE(text.find(file), std::string::npos) << text;
    if (length == size - 1) {
      EXPECT_NE(text.find(first_part), std::string::npos) << text;
    }
  }
}

// Loads `rounds` copies with one to three bytes below `limit` changed; returns how many loaded.
int count_surviving_flips(const std::string& path, const std::string& file, size_t limit,
                          int rounds, uint32_t seed) {
  const std::string whole = read_file(file);
  std::mt19937 random(seed);
  int loaded = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = whole;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < changes; ++i) bytes[random() % limit] = static_cast<char>(random());
    // In place: emptying a file first makes some file systems wait for the disk.
    std::fstream(file, std::ios::binary | std::ios::in | std::ios::out) << bytes;
    try {
      const LoadedModel model = load_model(path);
      model_hash(model);  // reads what the tensors claim to hold
      ++loaded;
    } catch (const Error&) {
    }
  }
  return loaded;
}

TEST(RobustTest, TruncatedSafetensors) {
  const TempFolder folder;
  folder.write("config.json", llama_config(kTiny, "llama"));
  const auto tensors = llama_tensors(kTiny, false, false, false, false, true, DType::kF16);
  const std::string file = folder.write("model.safetensors", safetensors_bytes(tensors));
  expect_every_truncation_refused(folder.path(), file, "tensor 'lm_head.weight' at byte ");
}

TEST(RobustTest, TruncatedGguf) {
  const TempFolder folder;
  auto writer = llama_gguf(kTiny, "llama", DType::kF16);
  writer.texts("tokenizer.ggml.tokens", {"a", "", "\xff"}).u32s("x.list", {1, 2, 3});
  writer.boolean("x.flag", true).i32("x.small", -3).u64("x.big", 1ull << 60);
  const std::string file = folder.write("model.gguf", writer.bytes());
  expect_every_truncation_refused(file, file, "tensor 'blk.0.ffn_down.weight' at byte ");
}

TEST(RobustTest, TruncatedConfig) {
  const TempFolder folder;
  const auto tensors = llama_tensors(kTiny, false, false, false, false, true);
  folder.write("model.safetensors", safetensors_bytes(tensors));
  const std::string file = folder.write("config.json", llama_config(kTiny, "llama"));
  expect_every_truncation_refused(folder.path(), file, "byte ");
}

TEST(RobustTest, FlippedSafetensorsHeader) {
  const TempFolder folder;
  folder.write("config.json", llama_config(kTiny, "llama"));
  const auto tensors = llama_tensors(kTiny, false, false, false, false, true);
  const std::string bytes = safetensors_bytes(tensors);
  const std::string file = folder.write("model.safetensors", bytes);
  const size_t header = bytes.rfind('}') + 1;
  const int loaded = count_surviving_flips(folder.path(), file, header, 3000, 1);
  EXPECT_LT(loaded, 600);  // spaces and the metadata may change; everything else must be noticed
}

TEST(RobustTest, FlippedConfig) {
  const TempFolder folder;
  const auto tensors = llama_tensors(kTiny, false, false, false, false, true);
  folder.write("model.safetensors", safetensors_bytes(tensors));
  const std::string file = folder.write("config.json", llama_config(kTiny, "llama"));
  count_surviving_flips(folder.path(), file, std::filesystem::file_size(file), 2000, 2);
}

TEST(RobustTest, FlippedGgufHeader) {
  const TempFolder folder;
  auto writer = llama_gguf(kTiny, "llama");
  writer.texts("tokenizer.ggml.tokens", {"a", "b", "c"}).u32s("x.list", {1, 2, 3});
  const std::string bytes = writer.bytes();
  const std::string file = folder.write("model.gguf", bytes);
  const size_t header = bytes.rfind("ffn_down") + 64;  // the table's last entry
  const int loaded = count_surviving_flips(file, file, header, 4000, 3);
  EXPECT_LT(loaded, 1600);
}

TEST(RobustTest, LyingSafetensors) {
  const TempFolder folder;
  const auto refused = [&](const std::string& header, const std::string& part,
                           size_t data_bytes = 64) {
    const std::string path = folder.write("x.safetensors", safetensors_raw(header, data_bytes));
    try {
      const SafetensorsFile file(path);
      file.find("a");
      ADD_FAILURE() << "accepted: " << header.substr(0, 100);
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find(path), std::string::npos) << text;
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  };
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return fmt::format(R"("a": {{"dtype": "{}", "shape": {}, "data_offsets": {}}})", dtype, shape,
                       offsets);
  };
  const auto one = [&](const std::string& dtype, const std::string& shape,
                       const std::string& offsets) {
    return fmt::format("{{{}}}", entry(dtype, shape, offsets));
  };
  refused(one("F32", "[4]", "[56, 72]"), "tensor 'a' at byte");
  refused(one("F32", "[4]", "[16, 0]"), "does not lie inside");
  refused(one("F32", "[4]", "[0, 12]"), "size of its shape");
  refused(one("F32", "[4]", "[0]"), "does not lie inside");
  refused(one("F32", "[4]", "[-4, 12]"), "bad number");
  refused(one("F32", "[4]", "[0, 18446744073709551615]"), "does not lie inside");
  refused(one("F32", "[4]", "[0, 99999999999999999999]"), "bad number");
  refused(one("F32", "[4294967296, 4294967296]", "[0, 0]"), "overflows");
  refused(one("F32", "[9223372036854775807, 4]", "[0, 16]"), "overflows");
  refused(one("F32", "[4611686018427387904]", "[0, 0]"), "size of its shape");
  refused(one("F32", "[0]", "[0, 0]"), "shape not supported", 0);
  refused(one("F32", "[]", "[0, 4]"), "shape not supported", 4);
  refused(one("F32", "[2, 2, 1]", "[0, 16]"), "shape not supported", 16);
  refused(one("F8_E4M3", "[4]", "[0, 4]"), "F8_E4M3", 4);
  refused(one("Q9", "[4]", "[0, 4]"), "Q9", 4);
  refused(one("F32", "[1.5]", "[0, 4]"), "bad number");
  refused(R"({"a": 3})", "no object");
  refused(R"({"a": {"shape": [1], "data_offsets": [0, 4]}})", "no dtype");
  refused(R"({"a": {"dtype": "F32", "data_offsets": [0, 4]}})", "no shape");
  refused("[1]", "no JSON object");
  refused("{" + entry("F32", "[4]", "[0, 16]") + "," + entry("F32", "[4]", "[16, 32]") + "}",
          "twice");
  refused(R"({"b": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}, )" +
              entry("F32", "[4]", "[0, 16]") + "}",
          "overlaps tensor");
  refused(std::string(1 << 20, '['), "nested deeper");
  refused("{\"a\": {\"dtype\": \"F\xff\"}}", "JSON");
  // The format's own reader refuses holes and bytes after the last tensor too.
  refused(one("F32", "[4]", "[4, 20]"), "belong to none", 20);
  refused(one("F32", "[4]", "[0, 16]"), "goes on after its last tensor", 17);
  refused("{}", "goes on after its last tensor", 1);
  // A header length one short: what follows still is JSON when the header ends in a blank.
  std::string shifted = safetensors_raw(one("F32", "[4]", "[0, 16]") + " ", 16);
  --shifted[0];
  EXPECT_THROW(SafetensorsFile(folder.write("x.safetensors", shifted)), Error);
  // Data at an odd address is fine.
  for (const char* padding : {"", " ", "  ", "   "}) {
    const std::string path =
        folder.write("x.safetensors", safetensors_raw(one("F32", "[4]", "[0, 16]") + padding, 16));
    EXPECT_EQ(SafetensorsFile(path).find("a")->cols, 4);
  }
  // A header length that passes the file or the format's limit.
  for (const uint64_t length : {uint64_t{57}, uint64_t{1} << 40, ~uint64_t{0}}) {
    std::string bytes(reinterpret_cast<const char*>(&length), 8);
    bytes += std::string(56, ' ');
    EXPECT_THROW(SafetensorsFile(folder.write("x.safetensors", bytes)), Error);
  }
}

TEST(RobustTest, LyingGguf) {
  const TempFolder folder;
  const auto refused = [&](const GgufWriter& writer, const std::string& part,
                           size_t extra_bytes = 256) {
    const std::string path =
        folder.write("x.gguf", writer.bytes() + std::string(extra_bytes, '\0'));
    try {
      const GgufFile file(path);
      file.tensor("a");
      ADD_FAILURE() << "accepted; expected: " << part;
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find(path), std::string::npos) << text;
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  };
  const auto with = [](const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
    return GgufWriter().tensor_header("a", ne, type, offset);
  };
  refused(with({64}, 0, 256), "tensor 'a' at byte");
  refused(with({64}, 0, 1), "not aligned");
  refused(with({64}, 0, ~uint64_t{31}), "does not lie inside");
  refused(with({1ull << 33, 1ull << 33}, 0, 0), "overflows");
  refused(with({1ull << 62}, 0, 0), "overflows 64 bits");
  refused(with({1ull << 60}, 0, 0), "does not lie inside");
  refused(with({(1ull << 62) + 1, 2}, 0, 0), "overflows");
  refused(with({0}, 0, 0), "a dimension is 0");
  refused(with({}, 0, 0), "number of dimensions");
  refused(with({1, 1, 1, 1, 1}, 0, 0), "number of dimensions");
  refused(with({2, 2, 2}, 0, 0), "more than two dimensions", 32);
  refused(with({33}, 8, 0), "whole blocks");
  refused(with({256}, 14, 0), "Q6_K", 224);
  refused(with({8}, 0, 0), "goes on after its last tensor", 100000);
  refused(with({4}, 99, 0), "type number 99");
  refused(GgufWriter().tensor_header("b", {16}, 0, 0).tensor_header("a", {16}, 0, 32), "overlaps");
  refused(GgufWriter().tensor_header("a", {8}, 0, 0).tensor_header("a", {8}, 0, 32), "twice");
  refused(GgufWriter().u32("k", 1).u32("k", 2), "key 'k'");
  refused(GgufWriter().u32("general.alignment", 24), "alignment");
  refused(GgufWriter().u32("general.alignment", 0), "alignment");
  refused(GgufWriter().u32("general.alignment", 1u << 31), "alignment");
  refused(GgufWriter().text("general.alignment", "32"), "general.alignment");
  refused(GgufWriter().raw("k", 13, ""), "unknown value type");
  refused(GgufWriter().raw("k", 7, "\2"), "boolean");
  refused(GgufWriter().u32("", 1), "length of a name");
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\x7f";
  refused(GgufWriter().raw("k", 8, huge), "ends too early");
  for (const char type : {'\0', '\4', '\7', '\10', '\12', '\14'}) {  // u8 u32 bool string u64 f64
    refused(GgufWriter().raw("k", 9, std::string{type, 0, 0, 0} + huge), "key 'k' at byte");
  }
  refused(GgufWriter().raw("k", 9, std::string("\11\0\0\0\1\0\0\0\0\0\0\0", 12)),
          "arrays of arrays");
  GgufWriter old;
  old.version = 1;
  refused(old, "version");
  old.version = 0x03000000;
  refused(old, "big-endian");
  std::string counts = GgufWriter().bytes();
  counts.replace(8, 8, huge);  // tensors
  EXPECT_THROW(GgufFile(folder.write("x.gguf", counts)), Error);
  EXPECT_THROW(GgufFile(folder.write("x.gguf", "GGML" + counts.substr(4))), Error);
  EXPECT_THROW(GgufFile(folder.write("x.gguf", "")), Error);
  EXPECT_THROW(GgufFile(folder.path()), Error);
}

}  // namespace
}  // namespace skipbench
