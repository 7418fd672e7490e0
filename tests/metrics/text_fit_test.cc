// Which metrics say little about which texts.
#include "eval/metrics/text_fit.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "tests/metrics/test_data.h"

namespace skipbench {
namespace {

using Lines = std::vector<std::vector<std::string>>;

constexpr char kChinese[] = "当解码时，模型会跳过一些层。";
constexpr char kJapanese[] = "モデルは復号のとき層を飛ばします。";
constexpr char kThai[] = "แบบจำลองข้ามบางชั้นขณะถอดรหัส";
constexpr char kLao[] = "ແບບຈຳລອງຂ້າມບາງຊັ້ນໃນຂະນະທີ່ຖອດລະຫັດ";
constexpr char kKhmer[] = "គំរូរំលងស្រទាប់មួយចំនួននៅពេលឌិកូដ។";
constexpr char kBurmese[] = "မော်ဒယ်သည် ကုဒ်ဖြည်နေစဉ် အလွှာအချို့ကို ကျော်သွားသည်။";
constexpr char kEnglish[] = "The model skips some layers while it decodes.";

TEST(TextProfile, SeesScriptsWithoutSpaces) {
  EXPECT_EQ(profile_texts(Lines{{kChinese}}).language, "zh");
  EXPECT_EQ(profile_texts(Lines{{"iPhone 15 的价格是 5,999 元", kChinese}}).language, "zh");
  EXPECT_EQ(profile_texts(Lines{{kJapanese}}).language, "ja");
  EXPECT_EQ(profile_texts(Lines{{"ﾓﾃﾞﾙ"}}).language, "ja");
  EXPECT_EQ(profile_texts(Lines{{kThai}}).language, "th");
  EXPECT_EQ(profile_texts(Lines{{kLao}}).language, "lo");
  EXPECT_EQ(profile_texts(Lines{{kKhmer}}).language, "km");
  EXPECT_EQ(profile_texts(Lines{{kBurmese}}).language, "my");
  EXPECT_EQ(profile_texts(Lines{{kEnglish}}).language, "");
  EXPECT_EQ(profile_texts(Lines{{"Модель пропускает слои."}}).language, "");
  EXPECT_EQ(profile_texts(Lines{{"모델은 일부 층을 건너뜁니다."}}).language, "");
  EXPECT_EQ(profile_texts(Lines{{"1, 2, 3!"}, {""}}).language, "");
  EXPECT_EQ(profile_texts(Lines{}).texts, 0);
}

// Blanks between words were put there; those between phrases are the writing's own.
TEST(TextProfile, SeesBlanksBetweenWords) {
  for (const char* text :
       {"当 解码 时 ， 模型 会 跳过 一些 层 。", "当 解 码 时 ， 模 型 会 跳 过 一 些 层 。",
        "モデル は 復号 の とき 層 を 飛ばし ます 。", "แบบจำลอง ข้าม บาง ชั้น ขณะ ถอดรหัส",
        "ແບບຈຳລອງ ຂ້າມ ບາງ ຊັ້ນ"}) {
    EXPECT_TRUE(profile_texts(Lines{{text}}).has_spaces) << text;
    EXPECT_FALSE(profile_texts(Lines{{text}}).language.empty()) << text;
  }
  for (const char* text :
       {kChinese, kJapanese, kThai, kLao, kKhmer, kBurmese, "你好。", "iPhone 15 的价格是 5,999 元",
        "当解码时 模型会跳过一些层 你好", "แบบจำลองข้ามบางชั้น ขณะถอดรหัสข้อความ", kEnglish}) {
    EXPECT_FALSE(profile_texts(Lines{{text}}).has_spaces) << text;
  }
}

// The whole data set decides, not one line.
TEST(TextProfile, CountsLettersOfAllReferences) {
  const TextProfile quoting = profile_texts(Lines{{kEnglish, "Its name is 模型."}, {"层"}});
  EXPECT_EQ(quoting.language, "");
  EXPECT_GT(quoting.share, 0);
  EXPECT_EQ(quoting.texts, 3);
  EXPECT_EQ(quoting.without_rouge_tokens, 1);
  EXPECT_EQ(profile_texts(Lines{{"a b"}, {kChinese}, {kChinese}}).language, "zh");
}

std::string fit(const std::string& metric, const MetricOptions& options, const std::string& text,
                const std::string& language = "") {
  const FitRequest request{.metric = metric,
                           .language = language,
                           .forced = options.contains("tokenize"),
                           .where = "here",
                           .hint = "or force it"};
  try {
    return check_fit(*make_metric(metric, options), request, profile_texts(Lines{{text}}));
  } catch (const Error& error) {
    return std::string("refused: ") + error.what();
  }
}

TEST(CheckFit, RefusesATokenizerThatDoesNotSplit) {
  const std::string refusal = fit("bleu", {}, kChinese);
  EXPECT_TRUE(contains(refusal, "refused: here: tokenizer 13a does not split Chinese text (100 %"));
  EXPECT_TRUE(contains(refusal, "expected zh or char, got 13a; or force it")) << refusal;
  EXPECT_TRUE(contains(fit("bleu", {}, kJapanese), "Japanese text"));
  EXPECT_TRUE(contains(fit("bleu", {}, kThai), "expected char"));
  EXPECT_TRUE(contains(fit("bleu", {}, kEnglish, "de-zh"), "text in language de-zh"));
  EXPECT_EQ(fit("bleu", {}, kEnglish), "");
  EXPECT_EQ(fit("bleu", {}, kChinese, "en"), "");
}

TEST(CheckFit, WarnsWhereTheTokenizerWasChosen) {
  EXPECT_TRUE(fit("bleu", {{"tokenize", "13a"}}, kChinese).starts_with("bleu: tokenizer 13a does"));
  EXPECT_TRUE(fit("bleu", {{"tokenize", "intl"}}, kThai).starts_with("bleu: tokenizer intl does"));
  EXPECT_EQ(fit("bleu", {{"tokenize", "zh"}}, kChinese), "");
  EXPECT_EQ(fit("bleu", {{"tokenize", "char"}}, kThai), "");
  EXPECT_EQ(fit("chrf", {}, kChinese), "");
  // zh splits Han alone.
  EXPECT_TRUE(fit("bleu", {{"tokenize", "zh"}}, kThai).starts_with("bleu: tokenizer zh does not"));
  EXPECT_TRUE(contains(fit("bleu", {{"tokenize", "zh"}}, kJapanese), "runs of Kana stay one word"));
  EXPECT_TRUE(contains(fit("bleu", {{"tokenize", "zh"}}, "カタカナ"), "runs of Kana"));
  for (const char* text : {kThai, kLao, kKhmer, kBurmese}) {
    EXPECT_TRUE(contains(fit("bleu", {}, text), "expected char, got 13a")) << text;
    EXPECT_TRUE(contains(fit("ter", {}, text), "with `asian_support` too")) << text;
    EXPECT_TRUE(contains(fit("ter", {{"normalized", "true"}, {"asian_support", "true"}}, text),
                         "put blanks between"))
        << text;
  }
  EXPECT_TRUE(contains(fit("ter", {{"normalized", "true"}, {"asian_support", "true"}}, kJapanese),
                       "runs of Kana stay one word"));
  // Segmented before: 13a and TER have words, also where the language is given.
  for (const char* language : {"", "zh"}) {
    EXPECT_EQ(fit("bleu", {}, "当 解码 时 ， 模型 会 跳过 一些 层 。", language), "");
    EXPECT_EQ(fit("ter", {}, "当 解码 时 ， 模型 会 跳过 一些 层 。", language), "");
  }
  EXPECT_TRUE(contains(fit("ter", {}, kChinese), "`asian_support`"));
  EXPECT_EQ(fit("ter", {{"normalized", "true"}, {"asian_support", "true"}}, kChinese), "");
}

TEST(CheckFit, BothSidesAreSegmentedAlike) {
  constexpr char kSegmented[] = "当 解码 时 ， 模型 会 跳过 一些 层 。";
  const auto alike = [](const std::string& metric, const MetricOptions& options,
                        const std::string& reference, const char* output) {
    const TextProfile outputs = profile_texts(Lines{{output != nullptr ? output : ""}});
    return check_segmented_alike(*make_metric(metric, options), {.metric = metric},
                                 profile_texts(Lines{{reference}}),
                                 output != nullptr ? &outputs : nullptr, "a.txt");
  };
  const std::string one_side = alike("bleu", {}, kSegmented, kChinese);
  EXPECT_TRUE(contains(one_side, "blanks between their Chinese words, and a.txt has none: tok"))
      << one_side;
  EXPECT_TRUE(contains(one_side, "segment both sides alike, or use tokenizer zh or char"));
  EXPECT_TRUE(contains(alike("bleu", {{"tokenize", "intl"}}, kSegmented, nullptr),
                       "a.txt must have them too: tokenizer intl"));
  EXPECT_TRUE(alike("ter", {}, kSegmented, kChinese).ends_with("segment both sides alike"));
  EXPECT_TRUE(
      contains(alike("bleu", {{"tokenize", "zh"}}, "แบบจำลอง ข้าม บาง ชั้น", kThai), "Thai words"));
  // Nothing to say: both segmented, neither (refused or warned of elsewhere), another language, and
  // metrics that do not depend on blanks.
  EXPECT_EQ(alike("bleu", {}, kSegmented, kSegmented), "");
  EXPECT_EQ(alike("bleu", {}, kChinese, kSegmented), "");
  EXPECT_EQ(alike("bleu", {}, kSegmented, kEnglish), "");
  EXPECT_EQ(alike("bleu", {}, kEnglish, nullptr), "");
  EXPECT_EQ(alike("bleu", {{"tokenize", "zh"}}, kSegmented, kChinese), "");
  EXPECT_EQ(alike("ter", {{"normalized", "true"}, {"asian_support", "true"}}, kSegmented, kChinese),
            "");
  EXPECT_EQ(alike("chrf", {}, kSegmented, kChinese), "");
  EXPECT_EQ(alike("rouge", {}, kSegmented, kChinese), "");
}

TEST(CheckFit, RougeNeedsLatinLettersOrDigits) {
  for (const char* text : {kChinese, kThai, "Модель пропускает слои.", "모델은 층을"}) {
    EXPECT_TRUE(contains(fit("rouge", {}, text), "1 of 1 references have no token")) << text;
  }
  EXPECT_EQ(fit("rouge", {}, kEnglish), "");
  EXPECT_EQ(fit("rouge", {}, ""), "");
}

}  // namespace
}  // namespace skipbench
