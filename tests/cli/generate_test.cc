// skipbench generate, field by field.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/cli/run_skipbench.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

TEST(Generate, FieldsOfALine) {
  const ProcessResult result = skipbench_with_input(
      "[1,2,3]\n[7]\n",
      {"generate", "--model", fixture("bloom-7layers"), "--input", "-", "--ids", "--strategy",
       "unified", "--target", "3.5", "--max-new-tokens", "4", "--ignore-eos", "--batch", "8"});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  const auto lines = json_lines(result.output);
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(lines[0]["index"], 0);
  EXPECT_EQ(lines[0]["prompt_tokens"], 3);
  EXPECT_EQ(lines[1]["index"], 1);
  EXPECT_EQ(lines[1]["prompt_tokens"], 1);
  for (const Json& line : lines) {
    EXPECT_EQ(line["tokens"].size(), 4);
    EXPECT_EQ(line["layers_per_token"].dump(), "[7,2,2,2]");  // whole numbers as such
    EXPECT_TRUE(line.contains("text"));
  }
}

// Every family, whatever the batch, the threads, and the strategy that skips nothing.
TEST(Generate, BatchThreadsAndTargetOneChangeNothing) {
  const std::string prompts = "[1,2,3]\n[7]\n[5,4,3,2,1,6]\n[9,9]\n";
  for (const char* name : {"bloom-3heads-post-norm", "llama-mqa-linear", "mistral-window", "qwen2",
                           "qwen3", "llama-q4_1-tied.gguf"}) {
    const auto generate = [&](std::vector<std::string> more) {
      std::vector<std::string> args = {"generate", "--model", fixture(name),      "--input",
                                       "-",        "--ids",   "--max-new-tokens", "6"};
      args.insert(args.end(), more.begin(), more.end());
      const ProcessResult result = skipbench_with_input(prompts, args);
      EXPECT_EQ(result.exit_code, 0) << name << result.errors;
      return result.output;
    };
    const std::string want = generate({"--batch", "1", "--threads", "1"});
    EXPECT_EQ(json_lines(want).size(), 4);
    EXPECT_EQ(generate({"--batch", "3", "--threads", "2"}), want) << name;
    EXPECT_EQ(generate({"--batch", "100", "--strategy", "unified"}), want) << name;
    EXPECT_EQ(generate({"--strategy", "early_exit", "--threads", "3"}), want) << name;
  }
}

// The miniature's separator is a special token: recognised where that is asked for, as in a sweep.
TEST(Generate, PromptsFromTheCommandLine) {
  const std::vector<std::string> common = {"generate", "--model",          fixture("bloom-7layers"),
                                           "--ids",    "--max-new-tokens", "3"};
  std::vector<std::string> given = common, both, seeded = common;
  given.insert(given.end(), {"--prompt", "[1,2,3]", "-p", "[4]"});
  const ProcessResult result = run_skipbench(given);
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  std::vector<std::string> from_input = common;
  from_input.insert(from_input.end(), {"--input", "-"});
  EXPECT_EQ(result.output, skipbench_with_input("[1,2,3]\n[4]\n", from_input).output);
  both = given;
  both.insert(both.end(), {"--input", "-"});
  for (const auto& args : {common, both}) {
    const ProcessResult refused = run_skipbench(args);
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_NE(refused.errors.find("--input FILE or --prompt TEXT"), std::string::npos)
        << refused.errors;
  }
  seeded.insert(seeded.end(), {"--prompt", "[1]", "--seed", "3"});
  const ProcessResult wrong_seed = run_skipbench(seeded);
  EXPECT_EQ(wrong_seed.exit_code, 2);
  EXPECT_NE(wrong_seed.errors.find("--sampling-seed"), std::string::npos) << wrong_seed.errors;
}

TEST(Generate, ParsesSpecialTokensOnRequest) {
  const std::string model = std::string(SKIPBENCH_SOURCE_DIR) + "/models/miniature";
  const auto line = [&](const std::string& input, std::vector<std::string> more) {
    std::vector<std::string> args = {"generate", "--model",          model, "--input",
                                     "-",        "--max-new-tokens", "8"};
    args.insert(args.end(), more.begin(), more.end());
    const ProcessResult result = skipbench_with_input(input, args);
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return json_lines(result.output).at(0);
  };
  const std::string text = "Guten Tag!<en>\n";
  const ProcessResult ids =
      skipbench_with_input(text, {"tokenize", "--model", model, "--input", "-", "--parse-special"});
  const Json wanted = line(Json::parse(ids.output)["ids"].dump() + "\n", {"--ids"});
  EXPECT_EQ(line(text, {"--parse-special"}), wanted);
  EXPECT_NE(line(text, {})["prompt_tokens"], wanted["prompt_tokens"]);
}

TEST(Generate, SelfSpeculativeSaysWhatItDrafted) {
  const std::string prompts = "[1,2,3]\n[7]\n";
  const auto lines_of = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = {
        "generate",         "--model", fixture("bloom-7layers"), "--input", "-", "--ids",
        "--max-new-tokens", "12",      "--ignore-eos",           "--batch", "2"};
    args.insert(args.end(), more.begin(), more.end());
    const ProcessResult result = skipbench_with_input(prompts, args);
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return json_lines(result.output);
  };
  const auto full = lines_of({});
  const auto got = lines_of({"--strategy", "self_speculative", "--target", "2"});
  ASSERT_EQ(got.size(), full.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i]["tokens"], full[i]["tokens"]);
    EXPECT_GE(got[i]["drafted"], got[i]["accepted"]);
    EXPECT_GE(got[i]["verify_calls"], 1);
    EXPECT_FALSE(full[i].contains("drafted"));
  }
  const Json plan = Json::parse(
      run_skipbench({"plan", "--layers", "30", "--strategy", "self_speculative", "--target", "5"})
          .output);
  EXPECT_EQ(plan["steps"][0].size(), 30);
  EXPECT_EQ(plan["speculation"]["draft"], Json({0, 6, 12, 18, 24, 29}));
}

// Lines written to a pipe as the answers come, `batch` at a time, and what is left over at the end.
std::string talk(const std::string& command, const std::vector<std::string>& lines, size_t batch) {
  std::string script = "coproc C { \"$0\" " + command + " --input -; }; ";
  for (size_t first = 0; first < lines.size(); first += batch) {
    const size_t end = std::min(first + batch, lines.size());
    for (size_t i = first; i < end; ++i) script += "echo '" + lines[i] + "' >&${C[1]}; ";
    if (end - first < batch) break;
    for (size_t i = first; i < end; ++i) {
      script += "read -r -t 60 line <&${C[0]} || exit 9; echo \"$line\"; ";
    }
  }
  script += "exec {C[1]}>&-; cat <&${C[0]}";
  const ProcessResult result =
      run_process(std::vector<std::string>{"bash", "-c", script, SKIPBENCH_BINARY}, "",
                  /*timeout_seconds=*/120);
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  return result.output;
}

// The same lines from a file, all in one batch.
std::string of_a_file(const std::vector<std::string>& words,
                      const std::vector<std::string>& lines) {
  const std::string path = testing::TempDir() + "/lines_for_" + words[0];
  std::ofstream file(path);
  for (const std::string& line : lines) file << line << '\n';
  file.close();
  std::vector<std::string> args = words;
  args.insert(args.end(), {"--batch", "100", "--input", path});
  const ProcessResult result = run_skipbench(args);
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  std::filesystem::remove(path);
  return result.output;
}

// A text's draws depend on its line alone: not on where its batch began, nor on how it came.
TEST(Generate, ABatchOfAPipeDrawsAsAFileDoes) {
  const std::string model = fixture("bloom-7layers");
  const std::vector<std::string> prompts(7, "[1,2,3]");
  const std::string got = talk(
      "generate --ids --ignore-eos --max-new-tokens 8 --temperature 1.5 "
      "--sampling-seed 4 --batch 3 --model '" +
          model + "'",
      prompts, 3);
  EXPECT_EQ(got, of_a_file({"generate", "--ids", "--ignore-eos", "--max-new-tokens", "8",
                            "--temperature", "1.5", "--sampling-seed", "4", "--model", model},
                           prompts));
  std::set<Json> drawn;
  for (const Json& line : json_lines(got)) drawn.insert(line["tokens"]);
  EXPECT_GT(drawn.size(), 3u);  // as many as the lines of a batch if each began anew
}

TEST(Logprobs, ABatchOfAPipeIsScoredAsAFileIs) {
  const std::string model = fixture("bloom-7layers");
  std::vector<std::string> lines;
  for (const char* continuation : {"[4,5]", "[6]", "[7,8,9]", "[]", "[4]"}) {
    lines.push_back(fmt::format(R"({{"prompt":[1,2,3],"continuation":{}}})", continuation));
  }
  const std::string got = talk(
      "logprobs --strategy random --param per=step --target 2 --batch 2 "
      "--model '" +
          model + "'",
      lines, 2);
  EXPECT_EQ(got, of_a_file({"logprobs", "--strategy", "random", "--param", "per=step", "--target",
                            "2", "--model", model},
                           lines));
  EXPECT_EQ(json_lines(got).size(), 5u);
}

// Each line is asked for when the answer to the one before has come.
TEST(Generate, AnswersAPipeLineByLine) {
  const std::string answer =
      " generate --ids --max-new-tokens 2 --model '" + fixture("bloom-7layers") + "' --input -";
  const std::string talk = "coproc C { \"$0\"" + answer +
                           "; }; for ids in '[1,2,3]' '[7]'; do echo \"$ids\" >&${C[1]}; "
                           "read -r -t 60 line <&${C[0]} || exit 9; echo \"$line\"; done; "
                           "printf '[5]' >&${C[1]}; exec {C[1]}>&-; cat <&${C[0]}";
  const ProcessResult result =
      run_process(std::vector<std::string>{"bash", "-c", talk, SKIPBENCH_BINARY}, "",
                  /*timeout_seconds=*/120);
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_EQ(result.output,
            skipbench_with_input("[1,2,3]\n[7]\n[5]\n",
                                 {"generate", "--ids", "--max-new-tokens", "2", "--model",
                                  fixture("bloom-7layers"), "--input", "-"})
                .output);
  // A file is checked whole before the first text is decoded.
  const std::string path = testing::TempDir() + "/generate_lines";
  std::ofstream(path) << "[1,2,3]\n[7\n";
  const ProcessResult wrong =
      run_skipbench({"generate", "--ids", "--model", fixture("bloom-7layers"), "--input", path});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_EQ(wrong.output, "");
  EXPECT_NE(wrong.errors.find("generate_lines:2"), std::string::npos) << wrong.errors;
}

}  // namespace
}  // namespace skipbench
