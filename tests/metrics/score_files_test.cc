// What `skipbench score` prints and refuses.
#include "eval/metrics/score_files.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/base/error.h"
#include "eval/metrics/language.h"
#include "eval/metrics/tokenize_spm.h"
#include "tests/metrics/test_data.h"

namespace skipbench {
namespace {

class ScoreFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              (std::string("skipbench_score_") +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    request_.hypotheses = {write("hyp", "the model skips layers\nthree layers run .\n")};
    request_.references = {write("ref", "the model skips layers\nonly three layers run .\n")};
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  std::string write_gzip(const std::string& name, const std::string& bytes) const {
    const std::string path = (folder_ / name).string();
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
    return path;
  }

  nlohmann::ordered_json scores() const {
    return nlohmann::ordered_json::parse(score_files(request_));
  }

  std::string error() const {
    try {
      score_files(request_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::filesystem::path folder_;
  ScoreFilesRequest request_;
};

// Values: sacrebleu 2.6.0 on the same two lines.
TEST_F(ScoreFiles, BleuHasSacrebleusFields) {
  const auto list = scores();
  ASSERT_EQ(list.size(), 1u);
  std::vector<std::string> keys;
  for (const auto& [key, value] : list[0].items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"name", "score", "signature", "verbose_score", "nrefs",
                                            "case", "eff", "tok", "smooth", "version"}));
  EXPECT_EQ(list[0]["name"], "BLEU");
  EXPECT_NEAR(list[0]["score"].get<double>(), 88.24969025845958, 1e-9);
  EXPECT_EQ(list[0]["verbose_score"],
            "100.0/100.0/100.0/100.0 (BP = 0.882 ratio = 0.889 hyp_len = 8 ref_len = 9)");
  EXPECT_EQ(list[0]["signature"],
            "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:skipbench-0.1.0");
  EXPECT_EQ(list[0]["nrefs"], "1");
}

TEST_F(ScoreFiles, WidthRounds) {
  request_.digits = 2;
  EXPECT_EQ(scores()[0]["score"].dump(), "88.25");
}

TEST_F(ScoreFiles, RougeHasFourScoresInPercent) {
  request_.metrics = {{"rouge", {{"stemmer", "true"}}}};
  const auto list = scores();
  ASSERT_EQ(list.size(), 4u);
  const char* names[] = {"ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(list[i]["name"], names[i]);
  EXPECT_NEAR(list[0]["precision"].get<double>(), 100.0, 1e-9);
  EXPECT_NEAR(list[0]["recall"].get<double>(), 100 * (1 + 3.0 / 4) / 2, 1e-9);
  EXPECT_NEAR(list[0]["score"].get<double>(), 100 * (1 + 6.0 / 7) / 2, 1e-9);
  EXPECT_EQ(list[0]["stem"], "porter");
}

TEST_F(ScoreFiles, ReadsGzipAndSplitsAtLineFeedsAlone) {
  const double plain = scores()[0]["score"];
  // The carriage return and U+2028 are white space inside a line; the last line needs no LF.
  request_.hypotheses = {
      write_gzip("hyp.gz", "the model\u2028skips layers\r\nthree\rlayers run .")};
  EXPECT_EQ(scores()[0]["score"].get<double>(), plain);
  request_.references.push_back(request_.references[0]);
  EXPECT_EQ(scores()[0]["nrefs"], "2");
}

TEST_F(ScoreFiles, RefusesUnequalLengths) {
  request_.references.push_back(write("short", "one line\n"));
  const std::string message = error();
  EXPECT_TRUE(contains(message, "short: ")) << message;
  EXPECT_TRUE(contains(message, request_.hypotheses[0])) << message;
  EXPECT_TRUE(contains(message, "2 lines") && contains(message, "1 lines")) << message;
}

TEST_F(ScoreFiles, RefusesFilesItCannotRead) {
  request_.hypotheses = {(folder_ / "absent").string()};
  EXPECT_TRUE(contains(error(), "absent: cannot open")) << error();
  request_.hypotheses = {folder_.string()};
  EXPECT_NE(error(), "");
  request_.hypotheses = {write("empty", "")};
  request_.references = request_.hypotheses;
  EXPECT_TRUE(contains(error(), "no lines")) << error();
  request_.references.clear();
  EXPECT_TRUE(contains(error(), "no reference")) << error();
  request_.hypotheses = {write("latin1", "good\nTsch\xFC\xDF\n")};
  EXPECT_TRUE(contains(error(), "latin1:2: not valid UTF-8")) << error();
  EXPECT_TRUE(contains(error(), "0xfc at column 5")) << error();
  const std::string whole = read_test_file(SKIPBENCH_SOURCE_DIR "/tests/metrics/test_data.cc");
  const std::string path = write_gzip("cut.gz", whole);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  request_.hypotheses = {path};
  EXPECT_TRUE(contains(error(), "cut.gz: cannot read")) << error();
}

TEST_F(ScoreFiles, RefusesATokenizerThatDoesNotFitTheLanguage) {
  request_.language = "zh";
  EXPECT_TRUE(contains(error(), "zh or char")) << error();
  request_.metrics[0].options["tokenize"] = "zh";
  EXPECT_EQ(error(), "");
  request_.metrics[0].options.clear();
  request_.force = true;
  EXPECT_EQ(error(), "");
  request_.metrics[0].options["tokenise"] = "zh";
  EXPECT_TRUE(contains(error(), "nearest first): tokenize")) << error();
}

TEST_F(ScoreFiles, RefusesItForPairsAndRegions) {
  request_.language = "en-zh_CN";
  EXPECT_TRUE(contains(error(), "text in language en-zh_CN")) << error();
  EXPECT_TRUE(contains(error(), "zh or char")) << error();
  request_.language = "JA";
  EXPECT_TRUE(contains(error(), "expected char")) << error();
  request_.language = "zh-en";
  EXPECT_EQ(error(), "");
}

TEST_F(ScoreFiles, SeesTheLanguageWhereNoneIsGiven) {
  request_.hypotheses = {write("zh", "模型跳过一些层。\n三层运行。\n")};
  request_.references = request_.hypotheses;
  std::vector<std::string> warnings;
  request_.warn = [&](const std::string& warning) { warnings.push_back(warning); };
  EXPECT_TRUE(contains(error(), "--tokenize: tokenizer 13a does not split Chinese text (100 %"))
      << error();
  EXPECT_TRUE(contains(error(), "expected zh or char, got 13a")) << error();
  request_.language = "en";
  EXPECT_EQ(error(), "");
  EXPECT_TRUE(warnings.empty());
  request_.language.clear();
  request_.metrics = {{"bleu", {{"tokenize", "13a"}}}, {"rouge", {}}};
  EXPECT_EQ(error(), "");
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_TRUE(contains(warnings[0], "bleu: tokenizer 13a does not split Chinese")) << warnings[0];
  EXPECT_TRUE(contains(warnings[1], "rouge: 2 of 2 references have no token")) << warnings[1];
  warnings.clear();
  request_.metrics = {{"bleu", {{"tokenize", "zh"}}}, {"chrf", {}}};
  EXPECT_EQ(error(), "");
  EXPECT_TRUE(warnings.empty());
}

TEST_F(ScoreFiles, WarnsOfASystemThatIsNotSegmentedAsTheReferences) {
  request_.references = {write("ref", "你好 世界 今天 天气\n模型 跳过 一些 层\n")};
  request_.hypotheses = {write("alike", "你好 世界 今天\n模型 跳过 层\n"),
                         write("whole", "你好世界今天天气\n模型跳过一些层\n")};
  std::vector<std::string> warnings;
  request_.warn = [&](const std::string& warning) { warnings.push_back(warning); };
  EXPECT_EQ(error(), "");
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_TRUE(contains(warnings[0], "/whole has none: tokenizer 13a takes")) << warnings[0];
  warnings.clear();
  for (const char* language : {"en", "en-zh"}) {
    request_.language = language;
    EXPECT_EQ(error(), "");
    EXPECT_EQ(warnings.size(), request_.language == "en" ? 0u : 1u);
  }
}

void expect_language(const std::string& codes, const std::string& language) {
  std::istringstream stream(codes);
  for (std::string code; stream >> code;) {
    EXPECT_EQ(language_without_spaces(code), language) << code;
  }
}

TEST(Language, WithoutSpaces) {
  expect_language(
      "zh ZH zh_CN zh-Hans zh-Hant-TW zh-tw zh-hk zho_Hans cmn yue en-zh EN-ZH en_zh de-zh-CN "
      "en-US-zh-CN ja-zh zh_CN.UTF-8 zh-cmn-Hans zh- -zh zh__CN zh-156 zh-zh",
      "zh");
  expect_language("ja Ja_JP jpn_Jpan en-ja zh-ja zh_TW-ja_JP ja@x", "ja");
  expect_language("th th_TH tha_Thai en-th zh-th", "th");
  expect_language("lo lo-LA lao_Laoo en-lo", "lo");
  expect_language("km km_KH khm_Khmr en-km EN-KM", "km");
  expect_language("my my_MM mya_Mymr bur en-my EN-MY", "my");
  expect_language("ms_MY ms-my MS-MY zsm_latn_my en-ms-my en-MY en_US-ms_MY ar_KM", "");
  expect_language("ms-en-my id-my", "my");
  expect_language("- _ .zh en en-US zh-en zh-CN-en-US ja-de ja-JP-en z zhx azh zhzh jav en-CN 中文",
                  "");
  EXPECT_EQ(language_without_spaces(""), "");
  EXPECT_EQ(language_without_spaces("zh en"), "");
}

TEST_F(ScoreFiles, SeveralMetricsAndIntervals) {
  request_.metrics = {{"bleu", {}}, {"chrf", {{"word_order", "2"}}}, {"ter", {}}};
  request_.confidence = true;
  request_.digits = 2;
  const auto list = scores();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[1]["name"], "chrF2++");
  EXPECT_EQ(list[1]["bs"], "1000");
  EXPECT_TRUE(list[0]["signature"].get<std::string>().starts_with("nrefs:1|bs:1000|seed:12345|"));
  EXPECT_TRUE(contains(list[2]["confidence"], "μ = ")) << list[2];
  request_.format = ScoreFormat::kText;
  request_.confidence = false;
  const std::string text = score_files(request_);
  EXPECT_TRUE(contains(text, "|version:skipbench-0.1.0 = 88.25 100.0/100.0")) << text;
}

TEST_F(ScoreFiles, SeveralSystemsWithPairedTests) {
  request_.hypotheses.push_back(write("b_&_c", "the model\nthree layers run .\n"));
  request_.paired = PairedTest::kRandomisation;
  const auto list = scores();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["system"], "Baseline: hyp");
  EXPECT_TRUE(list[0]["BLEU"]["p_value"].is_null());
  EXPECT_GT(list[1]["BLEU"]["p_value"].get<double>(), 0.0);
  EXPECT_TRUE(list[1]["BLEU"]["mean"].is_null());
  request_.paired = PairedTest::kBootstrap;
  EXPECT_FALSE(scores()[1]["BLEU"]["mean"].is_null());
  request_.format = ScoreFormat::kLatex;
  const std::string latex = score_files(request_);
  EXPECT_TRUE(contains(latex, "b\\_\\&\\_c & ")) << latex;
  EXPECT_TRUE(contains(latex, "$\\pm$")) << latex;
  EXPECT_TRUE(contains(latex, "\\bottomrule")) << latex;
  request_.hypotheses.pop_back();
  EXPECT_TRUE(contains(error(), "paired")) << error();
}

TEST_F(ScoreFiles, IdenticalSystemsDoNotDiffer) {
  request_.hypotheses.push_back(request_.hypotheses[0]);
  request_.format = ScoreFormat::kText;
  for (const PairedTest test : {PairedTest::kBootstrap, PairedTest::kRandomisation}) {
    request_.paired = test;
    const std::string text = score_files(request_);
    EXPECT_TRUE(contains(text, "(p = 1.0000)")) << text;
    EXPECT_FALSE(contains(text, "*")) << text;
  }
}

TEST_F(ScoreFiles, OneScoreALine) {
  request_.metrics = {{"bleu", {}}, {"ter", {}}};
  request_.sentence_level = true;
  const auto list = scores();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_NEAR(list[0]["BLEU"].get<double>(), 100.0, 1e-9);
  EXPECT_EQ(list[0]["segment"], 1);
  EXPECT_EQ(list[0]["TER"], 0.0);
  EXPECT_EQ(list[1]["TER"], 20.0);  // one word of five is missing
  request_.confidence = true;
  EXPECT_TRUE(contains(error(), "--sentence-level")) << error();
}

TEST_F(ScoreFiles, SentencepieceTokenizerNeedsItsModel) {
  request_.metrics = {{"bleu", {{"tokenize", "flores200"}}}};
  EXPECT_TRUE(contains(error(), "spm_model")) << error();
  request_.metrics[0].options["spm_model"] = write("bad.model", "no model");
  EXPECT_TRUE(contains(error(), "bad.model: not a sentencepiece model")) << error();
  request_.metrics[0].options["tokenize"] = "13a";
  EXPECT_TRUE(contains(error(), "only flores200")) << error();
}

// Pieces of a committed model, against sentencepiece's Python module.
TEST_F(ScoreFiles, SentencepieceTokenizer) {
  const std::string model =
      SKIPBENCH_SOURCE_DIR "/tests/fixtures/tokenizer/spm-unigram/tokenizer.model";
  const SpmPieces pieces(model);
  TokenList list;
  pieces.tokenize("the model skips layers, größer 3.5x", &list);
  std::string joined;
  for (const std::string_view token : list.tokens) joined.append(token).append("|");
  EXPECT_EQ(joined, "▁the|▁mo|d|el|▁|s|k|i|p|s|▁|l|a|y|er|s|,|▁|g|r|ö|ß|er|▁|3|.|5|x|");
  request_.metrics = {{"bleu", {{"tokenize", "flores200"}, {"spm_model", model}}}};
  EXPECT_EQ(scores()[0]["tok"], "flores200");
  EXPECT_EQ(scores()[0]["model"], pieces.checksum());
  EXPECT_GT(scores()[0]["score"].get<double>(), 50.0);
}

}  // namespace
}  // namespace skipbench
