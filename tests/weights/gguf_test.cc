// Metadata look-ups and versions of the GGUF reader.
#include "engine/weights/gguf.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "tests/weights/model_writer.h"

namespace skipbench {
namespace {

using test::GgufWriter;
using test::TempFolder;

TEST(GgufTest, TypedLookUps) {
  const TempFolder folder;
  GgufWriter writer;
  writer.u32("u", 7).i32("i", -7).u64("big", ~uint64_t{0}).f32("f", 0.5f).boolean("b", true);
  writer.text("s", std::string("a\0b", 3)).texts("ss", {"x", "", "\xff"});
  writer.u32s("us", {1, 2}).f32s("fs", {0.25f}).texts("empty", {});
  const GgufFile file(folder.write("x.gguf", writer.bytes()));
  EXPECT_EQ(file.integer("u"), 7);
  EXPECT_EQ(file.integer("i"), -7);
  EXPECT_THROW(file.integer("big"), Error);
  EXPECT_THROW(file.integer("f"), Error);
  EXPECT_EQ(file.number("f"), 0.5);
  EXPECT_EQ(file.number("i"), -7.0);
  EXPECT_EQ(file.string("s"), std::string("a\0b", 3));
  EXPECT_EQ(file.strings("ss"), (std::vector<std::string>{"x", "", "\xff"}));
  EXPECT_EQ(file.integers("us"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(file.numbers("us"), (std::vector<double>{1, 2}));
  EXPECT_EQ(file.numbers("fs"), std::vector<double>{0.25});
  EXPECT_TRUE(file.strings("empty").empty());
  EXPECT_THROW(file.integers("fs"), Error);
  EXPECT_THROW(file.strings("s"), Error);
  EXPECT_TRUE(file.bool_or("b", false));
  EXPECT_THROW(file.bool_or("u", false), Error);
  EXPECT_TRUE(file.bool_or("none", true));
  EXPECT_EQ(file.integer_or("none", 3), 3);
  EXPECT_EQ(file.number_or("none", 1.5), 1.5);
  EXPECT_EQ(file.string_or("none", "z"), "z");
  EXPECT_THROW(file.string_or("u", "z"), Error);
  EXPECT_FALSE(file.has("none"));
  try {
    file.string("none");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'none'"), std::string::npos);
  }
}

TEST(GgufTest, VersionsAndAlignments) {
  for (const uint32_t version : {2u, 3u}) {
    for (const uint32_t alignment : {1u, 32u, 64u, 4096u}) {
      const TempFolder folder;
      GgufWriter writer;
      writer.version = version;
      writer.alignment = alignment;
      writer.u32("general.alignment", alignment);
      writer.tensor({"a", {3}}).tensor({"b", {2, 5}, DType::kF16});
      const GgufFile file(folder.write("x.gguf", writer.bytes()));
      const auto b = file.tensor("b");
      ASSERT_TRUE(b.has_value());
      EXPECT_EQ(b->rows, 2);
      EXPECT_EQ(b->cols, 5);
      EXPECT_EQ(b->type, DType::kF16);
      const std::string want = test::tensor_bytes({"b", {2, 5}, DType::kF16});
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(b->data), want.size()), want);
      EXPECT_EQ(*file.tensor_offset("b") % alignment, 0u);
      EXPECT_EQ(file.tensor("a")->rows, 1);
      EXPECT_FALSE(file.tensor("c").has_value());
      EXPECT_EQ(file.tensor_names(), (std::vector<std::string>{"a", "b"}));
    }
  }
}

TEST(GgufTest, VocabularyWithoutTensors) {
  const TempFolder folder;
  const GgufFile file(folder.write("x.gguf", GgufWriter().texts("t", {"a"}).bytes()));
  EXPECT_TRUE(file.tensor_names().empty());
}

}  // namespace
}  // namespace skipbench
