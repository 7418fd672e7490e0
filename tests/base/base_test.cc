#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "engine/base/dtype.h"
#include "engine/base/error.h"
#include "engine/base/printable.h"

namespace skipbench {
namespace {

TEST(F16, EveryBitPatternSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value)))) << bits;
    } else {
      ASSERT_EQ(f32_to_f16(value), bits);
    }
  }
}

TEST(F16, RoundsHalfwayCasesToEven) {
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f), 0x3c00);                // between 1 and 1 + 2^-10: even
  EXPECT_EQ(f32_to_f16(1.0f + 3 * 0x1p-11f), 0x3c02);            // odd below, even above
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);                       // half the least subnormal
  EXPECT_EQ(f32_to_f16(3 * 0x1p-25f), 0x0002);
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);                       // below the halfway to infinity
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::infinity()), 0xfc00);
}

TEST(BF16, RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);  // rounds to infinity
}

TEST(DType, SizesOfBlocks) {
  EXPECT_EQ(bytes_of(DType::kQ8_0, 64), 68);
  EXPECT_EQ(bytes_of(DType::kQ4_0, 64), 36);
  EXPECT_EQ(bytes_of(DType::kQ4_1, 32), 20);
  EXPECT_EQ(bytes_of(DType::kBF16, 7), 14);
}

TEST(Error, SaysWhatWhereExpectedGotAndHint) {
  const Error error({.what = "wrong shape",
                     .where = "model.safetensors: lm_head.weight",
                     .expected = "[4, 2]",
                     .got = "[4, 3]",
                     .hint = "fetch it again"});
  EXPECT_STREQ(error.what(),
               "model.safetensors: lm_head.weight: wrong shape; expected [4, 2], got [4, 3]; "
               "fetch it again");
}

TEST(Error, UnknownNamePutsTheNearestFirst) {
  const std::array<std::string, 3> known = {"full", "early_exit", "unified"};
  EXPECT_STREQ(unknown_name("strategy", "unifed", known, "a.yaml:3").what(),
               "a.yaml:3: unknown strategy 'unifed'; known (nearest first): unified, full, "
               "early_exit");
}

TEST(Error, TextOfOthersNeitherEndsTheMessageNorReachesTheTerminal) {
  using namespace std::string_literals;
  const Error error({.what = "unknown name 'a\0b'"s, .got = "\x1b[31m\r\x7f", .hint = "end"});
  EXPECT_STREQ(error.what(), "unknown name 'a\\x00b'; got \\x1b[31m\\x0d\\x7f; end");
  EXPECT_EQ(error.parts().got, "\x1b[31m\r\x7f");
  // Lines, tabs and letters stay; C1 controls and bytes that are no UTF-8 do not.
  EXPECT_EQ(printable("größe\n\t\\x00 漢"), "größe\n\t\\x00 漢");
  EXPECT_EQ(printable("\xc2\x9b\xff\xe6\xbc"), "\\xc2\\x9b\\xff\\xe6\\xbc");
}

TEST(Error, ALongNameIsNoMisspelling) {
  const std::array<std::string, 2> known = {"full", "unified"};
  EXPECT_EQ(nearest_names(std::string(10'000'000, 'x'), known), "full, unified");
}

TEST(DType, UnknownActivationTypeIsRefused) {
  EXPECT_EQ(parse_activation_dtype("bf16", "--dtype"), DType::kBF16);
  EXPECT_THROW(parse_activation_dtype("q8_0", "--dtype"), Error);
}

}  // namespace
}  // namespace skipbench
