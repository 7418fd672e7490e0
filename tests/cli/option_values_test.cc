// Values that an option cannot use: named and refused, not taken for something else.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "tests/cli/run_skipbench.h"

namespace skipbench {
namespace {

using Arguments = std::vector<std::string>;

void expect_refused(const Arguments& args, const Arguments& says, const std::string& input = "") {
  SCOPED_TRACE(testing::PrintToString(args));
  const ProcessResult result = skipbench_with_input(input, args);
  EXPECT_EQ(result.exit_code, 2) << result.errors;
  EXPECT_EQ(result.output, "");
  for (const std::string& part : says) {
    EXPECT_NE(result.errors.find(part), std::string::npos) << part << " not in: " << result.errors;
  }
}

Arguments joined(Arguments args, const Arguments& more) {
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(OptionValues, AnEmptyOneIsNotTheDefault) {
  const Arguments sweep = {"validate", SKIPBENCH_SOURCE_DIR "/configs/quickstart.yaml"};
  for (const std::string option : {"--device", "--dtype", "--threads", "--seed"}) {
    expect_refused(joined(sweep, {option, ""}), {option, "expected a value"});
    expect_refused(joined(sweep, {option, "#cuda"}), {option, "#cuda"});
  }
  expect_refused(joined(sweep, {"--dtype", ","}), {"model.dtype", "comma"});
  const Arguments bench = {"bench", "--model", fixture("bloom-7layers"), "-p", "1", "-n", "1"};
  for (const std::string option : {"--adapter", "--device", "--dtype", "--threads", "--seed"}) {
    expect_refused(joined(bench, {option, ""}), {option, "got ''"});
  }
  expect_refused(
      {"generate", "--model", fixture("bloom-7layers"), "--input", "-", "--ids", "--tokenizer", ""},
      {"--tokenizer", "expected a value"});
  const std::string text = SKIPBENCH_SOURCE_DIR "/README.md";
  expect_refused({"score", "-r", text, "-i", text, "--source", ""}, {"--source", "got ''"});
  expect_refused({"table", " "}, {"db", "got ' '"});
}

TEST(OptionValues, ACorrectionIsOfTests) {
  expect_refused({"table", "r.db", "--correction", "holm"},
                 {"--correction: a table without tests does not read this option; expected it with "
                  "--significance, got holm"});
  const Arguments tested = {"table", "r.db", "--significance", "paired-ar"};
  expect_refused(joined(tested, {"--correction", "holms"}), {"unknown correction 'holms'", "holm"});
  expect_refused(
      {"report", "r.db", "-o", "r.html", "--significance", "none", "--correction", "holm"},
      {"--correction: a page without tests does not read this option"});
}

TEST(OptionValues, NothingBetweenTwoCommasIsNoValue) {
  const Arguments bench = {"bench", "--model", fixture("bloom-7layers"), "-p", "1", "-n", "1"};
  expect_refused(joined(bench, {"-b", "1,,2"}), {"--batch", "from 1 to 65536", "got ''"});
  expect_refused(joined(bench, {"--target", "1,"}), {"--target", "expected a number"});
  expect_refused(joined(bench, {"--strategy", "full,,unified"}), {"--strategy"});
  expect_refused(joined(bench, {"-b", "1,x"}), {"--batch", "got 'x'"});
  expect_refused({"table", "r.db", "--columns", "bleu,,layers"}, {"--columns", "expected a value"});
  const ProcessResult result =
      run_skipbench(joined(bench, {"-b", "1,2", "-r", "1", "--warmup", "0", "-o", "json"}));
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  std::set<int> batches;
  for (const auto& row : nlohmann::json::parse(result.output))
    batches.insert(row.at("batch").get<int>());
  EXPECT_EQ(batches, (std::set<int>{1, 2}));
}

TEST(OptionValues, NumbersOfScore) {
  const std::string text = SKIPBENCH_SOURCE_DIR "/README.md";
  const Arguments score = {"score", "-r", text, "-i", text};
  for (const std::string value : {"nan", "inf", "0", "-1", ""}) {
    expect_refused(joined(score, {"--external-timeout", value}), {"--external-timeout"});
  }
  for (const std::string option : {"--resamples", "--trials", "--seed"}) {
    expect_refused(joined(score, {option, "0x10"}), {option, "0x10"});
  }
}

TEST(OptionValues, FilesWithoutAnEnd) {
  expect_refused({"validate", "/dev/zero"}, {"/dev/zero", "not a regular file"});
  expect_refused({"score", "-r", "/dev/zero", "-i", "/dev/zero"}, {"not a regular file"});
  expect_refused({"plan", "--layers", "8", "--strategy", "early_exit", "--target", "2", "--param",
                  "depths=/dev/zero"},
                 {"depths", "not a regular file"});
}

TEST(OptionValues, NamedPipesAreNotWaitedFor) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / "skipbench_named_pipes";
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.model"}) {
    fs::create_symlink(fs::path(SKIPBENCH_SOURCE_DIR) / "models/miniature" / name, folder / name);
  }
  const std::string pipe = (folder / "chat_template.jinja").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  expect_refused({"tokenize", "--model", pipe}, {pipe, "not a regular file"});
  expect_refused({"validate", pipe}, {pipe, "not a regular file"});
  std::ofstream(folder / "lines") << "one\ntwo\n";
  std::ofstream(folder / "sweep.yaml")
      << "{name: a, results: a.db, model: {path: " << folder << "}, strategies: [full],"
      << " datasets: [{name: a, source: lines, reference: lines, chat_template: model,"
      << " metrics: [bleu]}]}";
  expect_refused({"validate", (folder / "sweep.yaml").string()}, {pipe, "not a regular file"});
  fs::remove_all(folder);
}

TEST(OptionValues, EscapeSequencesDoNotReachTheTerminal) {
  expect_refused({"plan", "--layers", "\x1b[31m"}, {"--layers", "'\\x1b[31m'"});
  expect_refused({"\x1b]0;title"}, {"\\x1b]0;title"});
}

}  // namespace
}  // namespace skipbench
