// Commands at the edges of their input: no token, no number, no prompt, lists, more layers than the
// engine has; a history with a planted change; a probe's output as a plot.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>

#include "tests/cli/run_skipbench.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

fs::path fresh_folder() {
  const fs::path folder =
      fs::temp_directory_path() /
      ("skipbench_edge_" +
       std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

TEST(Logprobs, AnEmptyContinuationHasNone) {
  const std::string some = R"({"prompt": [1, 2], "continuation": [3, 4]})";
  const std::string none = R"({"prompt": [5], "continuation": []})";
  const auto lines_of = [](const std::string& input, const std::string& batch) {
    const ProcessResult result = skipbench_with_input(
        input, {"logprobs", "--model", fixture("qwen3"), "--input", "-", "--batch", batch});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return json_lines(result.output);
  };
  const Json alone = lines_of(some + "\n", "1").at(0);
  for (const std::string batch : {"1", "2", "8"}) {
    const auto lines = lines_of(none + "\n" + none + "\n" + some + "\n" + none + "\n", batch);
    ASSERT_EQ(lines.size(), 4u);
    for (const size_t i : {0, 1, 3}) {
      EXPECT_EQ(lines[i], (Json{{"logprobs", Json::array()}, {"layers_per_token", Json::array()}}));
    }
    EXPECT_EQ(lines[2], alone);
  }
}

TEST(Logprobs, OfTextsAreThoseOfTheirTokens) {
  const std::string model = SKIPBENCH_SOURCE_DIR "/models/miniature";
  const auto scored = [&](const std::string& input) {
    const ProcessResult result = skipbench_with_input(
        input, {"logprobs", "--model", model, "--input", "-", "--parse-special"});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return json_lines(result.output).at(0);
  };
  const auto ids_of = [&](const std::string& text) {
    const ProcessResult result = skipbench_with_input(
        text, {"tokenize", "--model", model, "--input", "-", "--parse-special"});
    return Json::parse(result.output).at("ids");
  };
  Json got = scored(R"({"prompt": "Guten Tag!<en>", "continuation": "Hello!"})");
  const Json prompt = ids_of("Guten Tag!<en>"), continuation = ids_of("Hello!");
  EXPECT_EQ(got["prompt_tokens"], prompt.size());
  EXPECT_EQ(got["tokens"], continuation);
  got.erase("prompt_tokens");
  got.erase("tokens");
  EXPECT_EQ(got, scored(Json{{"prompt", prompt}, {"continuation", continuation}}.dump()));
}

// A score says so itself, with a warning; a text could not.
TEST(Logprobs, WarnsOfWhatIsNoNumberWhichGenerateRefuses) {
  const fs::path folder = fresh_folder();
  fs::copy(fixture("bloom-7layers"), folder / "model", fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(folder / "model")) {
    if (entry.path().extension() != ".safetensors") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-64, std::ios::end);
    file << std::string(64, '\xff');  // NaN in every type
  }
  const ProcessResult result =
      skipbench_with_input("{\"prompt\": [1], \"continuation\": [2]}\n",
                           {"logprobs", "--model", (folder / "model").string(), "--input", "-"});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_NE(result.errors.find("warning: -:1: the log-probability of token 0"), std::string::npos)
      << result.errors;
  EXPECT_TRUE(json_lines(result.output).at(0)["logprobs"][0].is_null());
  const ProcessResult texts = skipbench_with_input(
      "[1, 2]\n", {"generate", "--model", (folder / "model").string(), "--input", "-", "--ids"});
  EXPECT_EQ(texts.exit_code, 2) << texts.errors;
  EXPECT_NE(texts.errors.find("text 1 of the batch, after 2 tokens: the model's output is not a"),
            std::string::npos)
      << texts.errors;
  EXPECT_EQ(texts.output, "");
  fs::remove_all(folder);
}

TEST(Bench, PromptsOfSeveralLengthsAndOfNone) {
  const auto tests_of = [](const std::string& prompts, const std::string& generated) {
    const ProcessResult result = run_skipbench(
        {"bench", "--model", fixture("bloom-7layers"), "-p", prompts, "-n", generated, "-b", "1,2",
         "--strategy", "unified", "--target", "2", "-r", "1", "--warmup", "0", "-o", "json"});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    std::multiset<std::string> tests;
    for (const Json& row : Json::parse(result.output)) {
      EXPECT_GT(row["avg_ts"].get<double>(), 0);
      tests.insert(fmt::format("{} {} {} b{}", row["n_prompt"].get<int>(), row["n_gen"].get<int>(),
                               row["n_depth"].get<int>(), row["batch"].get<int>()));
    }
    return tests;
  };
  // Each for `full` and `unified`.
  using Tests = std::multiset<std::string>;
  EXPECT_EQ(tests_of("3,5", "2"),
            (Tests{"3 0 0 b1", "3 0 0 b1", "3 0 0 b2", "3 0 0 b2", "0 2 3 b1", "0 2 3 b1",
                   "0 2 3 b2", "0 2 3 b2", "5 0 0 b1", "5 0 0 b1", "5 0 0 b2", "5 0 0 b2",
                   "0 2 5 b1", "0 2 5 b1", "0 2 5 b2", "0 2 5 b2"}));
  EXPECT_EQ(tests_of("0", "2"), (Tests{"0 2 1 b1", "0 2 1 b1", "0 2 1 b2", "0 2 1 b2"}));
  EXPECT_EQ(tests_of("4", "0"), (Tests{"4 0 0 b1", "4 0 0 b1", "4 0 0 b2", "4 0 0 b2"}));
  // Ranges as llama-bench has them; a prompt is timed once.
  EXPECT_EQ(
      tests_of("2-4+2,3", "1-4*2,0"),
      (Tests{"2 0 0 b1", "2 0 0 b1", "2 0 0 b2", "2 0 0 b2", "3 0 0 b1", "3 0 0 b1", "3 0 0 b2",
             "3 0 0 b2", "4 0 0 b1", "4 0 0 b1", "4 0 0 b2", "4 0 0 b2", "0 1 2 b1", "0 1 2 b1",
             "0 1 2 b2", "0 1 2 b2", "0 2 2 b1", "0 2 2 b1", "0 2 2 b2", "0 2 2 b2", "0 4 2 b1",
             "0 4 2 b1", "0 4 2 b2", "0 4 2 b2", "0 1 3 b1", "0 1 3 b1", "0 1 3 b2", "0 1 3 b2",
             "0 2 3 b1", "0 2 3 b1", "0 2 3 b2", "0 2 3 b2", "0 4 3 b1", "0 4 3 b1", "0 4 3 b2",
             "0 4 3 b2", "0 1 4 b1", "0 1 4 b1", "0 1 4 b2", "0 1 4 b2", "0 2 4 b1", "0 2 4 b1",
             "0 2 4 b2", "0 2 4 b2", "0 4 4 b1", "0 4 4 b1", "0 4 4 b2", "0 4 4 b2"}));
  EXPECT_EQ(tests_of("0-2", "0"), (Tests{"1 0 0 b1", "1 0 0 b1", "1 0 0 b2", "1 0 0 b2", "2 0 0 b1",
                                         "2 0 0 b1", "2 0 0 b2", "2 0 0 b2"}));
  for (const char* wrong : {"4-2", "2-4+0", "2-4*1", "0-4*2", "2-", "2-4+", "2-4-6", "2-x", "-2-4",
                            "0-1048576", "1-2000000"}) {
    const ProcessResult refused = run_skipbench(
        {"bench", "--model", fixture("bloom-7layers"), "-n", "1", std::string("-p") + wrong});
    EXPECT_EQ(refused.exit_code, 2) << wrong;
    EXPECT_NE(refused.errors.find("--n-prompt"), std::string::npos) << refused.errors;
  }
  const ProcessResult nothing =
      run_skipbench({"bench", "--model", fixture("bloom-7layers"), "-p", "0", "-n", "0"});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_NE(nothing.errors.find("nothing to measure"), std::string::npos) << nothing.errors;
}

TEST(Inspect, RefusesMoreLayersThanAnyCommandRuns) {
  const fs::path folder = fresh_folder();
  Json model = Json::parse(std::ifstream(fixture("bloom-7layers") + "/config.json"));
  model["hidden_size"] = 8;
  model["n_head"] = 2;
  model["num_attention_heads"] = 2;
  for (const int layers : {256, 257}) {
    model["n_layer"] = layers;
    model["num_hidden_layers"] = layers;
    std::ofstream(folder / "deep.json") << model;
    const std::string name = "synthetic:" + (folder / "deep.json").string();
    const std::vector<std::vector<std::string>> commands = {
        {"inspect", name},
        {"generate", "--model", name, "--ids", "--input", "-", "--max-new-tokens", "1"}};
    for (const auto& command : commands) {
      const ProcessResult result = skipbench_with_input("[1]\n", command);
      EXPECT_EQ(result.exit_code, layers == 256 ? 0 : 2) << layers << command[0] << result.errors;
      if (layers == 256) continue;
      EXPECT_NE(result.errors.find("deep.json"), std::string::npos) << result.errors;
      EXPECT_NE(result.errors.find("1 to 256"), std::string::npos) << result.errors;
    }
  }
  fs::remove_all(folder);
}

// Runs of fourteen commits, from the tenth on 7 % slower, in the form that `bench -o json` prints.
TEST(History, FindsAPlantedChange) {
  const fs::path folder = fresh_folder();
  const ProcessResult bench = run_skipbench({"bench", "--model", fixture("bloom-7layers"), "-p",
                                             "2", "-n", "2", "-r", "1", "-o", "json"});
  ASSERT_EQ(bench.exit_code, 0) << bench.errors;
  Json run = Json::parse(bench.output).at(1);
  std::mt19937 random(4);
  std::normal_distribution<> noise(0, 0.015);
  std::ofstream history(folder / "runs.jsonl");
  for (int commit = 0; commit < 14; ++commit) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      const double speed = (commit < 9 ? 1000 : 930) * (1 + noise(random));
      run["build_commit"] = fmt::format("{:02d}{:038d}", commit, 7);
      run["build_dirty"] = "";
      run["avg_ts"] = speed;
      run["samples_ts"] = {speed};
      run["samples_ns"] = {2e9 / speed};
      history << run.dump() << "\n";
    }
  }
  history.close();
  const ProcessResult result = run_skipbench(
      {"history", (folder / "runs.jsonl").string(), "-o", (folder / "plot.svg").string()});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_NE(result.output.find("slower at 0900000000 (run 28; before it 0800000000)"),
            std::string::npos)
      << result.output;
  EXPECT_EQ(result.output.find("faster"), std::string::npos) << result.output;
  std::ifstream plot(folder / "plot.svg");
  const std::string svg((std::istreambuf_iterator<char>(plot)), {});
  EXPECT_NE(svg.find("median between changes"), std::string::npos);
  EXPECT_NE(svg.find("0900000000"), std::string::npos);
  fs::remove_all(folder);
}

TEST(Plot, OfAProbe) {
  const fs::path folder = fresh_folder();
  std::ofstream(folder / "ids.jsonl") << "{\"prompt\": [1, 2], \"continuation\": [3, 4, 5]}\n";
  const ProcessResult probe =
      run_skipbench({"probe", "--model", fixture("bloom-7layers"), "--input",
                     (folder / "ids.jsonl").string(), "--strategy", "unified", "--target", "2"});
  ASSERT_EQ(probe.exit_code, 0) << probe.errors;
  const std::string json = (folder / "probe.json").string(), svg = (folder / "p.svg").string();
  std::ofstream(json) << probe.output;
  for (const char* kind : {"similarity", "divergence", "steps"}) {
    const ProcessResult drawn = run_skipbench({"plot", json, "--kind", kind, "-o", svg});
    ASSERT_EQ(drawn.exit_code, 0) << drawn.errors;
    EXPECT_GT(fs::file_size(svg), 2000u);
  }
  EXPECT_EQ(run_skipbench({"plot", json, "-o", svg}).exit_code, 2);  // no Pareto front in it
  const ProcessResult chosen =
      run_skipbench({"plot", json, "--kind", "steps", "--strategy", "unified", "-o", svg});
  EXPECT_EQ(chosen.exit_code, 2);
  EXPECT_NE(chosen.errors.find("--strategy: "), std::string::npos) << chosen.errors;
  const ProcessResult full = run_skipbench({"probe", "--model", fixture("bloom-7layers"), "--input",
                                            (folder / "ids.jsonl").string(), "--strategy", "full"});
  ASSERT_EQ(full.exit_code, 0) << full.errors;
  std::ofstream(json) << full.output;
  const ProcessResult still = run_skipbench({"plot", json, "--kind", "steps", "-o", svg});
  EXPECT_EQ(still.exit_code, 2);
  EXPECT_NE(still.errors.find("got full"), std::string::npos) << still.errors;
  std::ofstream(json) << "{}";
  const ProcessResult other = run_skipbench({"plot", json, "--kind", "similarity", "-o", svg});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.errors.find("holds no drift of layers"), std::string::npos) << other.errors;
  fs::remove_all(folder);
}

// Whoever opens a pipe to read waits for its writer.
TEST(Results, AreNoPipe) {
  const fs::path folder = fresh_folder();
  const std::string pipe = (folder / "pipe").string(), page = (folder / "a.html").string();
  ASSERT_EQ(run_process(std::vector<std::string>{"mkfifo", pipe}, "", 10).exit_code, 0);
  for (const std::vector<std::string>& command : {std::vector<std::string>{"table", pipe},
                                                  {"plot", pipe, "-o", (folder / "a.svg").string()},
                                                  {"report", pipe, "-o", page},
                                                  {"export", pipe, "--outputs"}}) {
    const ProcessResult result = run_skipbench(command);
    EXPECT_EQ(result.exit_code, 2) << command[0] << result.errors;
    EXPECT_NE(result.errors.find("pipe: not a regular file"), std::string::npos) << result.errors;
    EXPECT_NE(result.errors.find("got a pipe"), std::string::npos) << result.errors;
  }
  fs::remove_all(folder);
}

// Of probings of the same the latest.
TEST(Probe, KeepsWhatItPrints) {
  const fs::path folder = fresh_folder();
  std::ofstream(folder / "ids.jsonl") << "{\"prompt\": [1, 2], \"continuation\": [3, 4, 5]}\n";
  const auto probe = [&](const std::string& file, const std::string& target,
                         const std::string& format) {
    const ProcessResult result =
        run_skipbench({"probe", "--model", fixture("bloom-7layers"), "--input",
                       (folder / "ids.jsonl").string(), "--strategy", "unified", "--target", target,
                       "--results", (folder / file).string(), "-o", format});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return result.output;
  };
  const auto kept = [&](const std::string& file) {
    const ProcessResult result = run_skipbench({"export", (folder / file).string(), "--probes"});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return json_lines(result.output);
  };
  const std::string first = probe("a.db", "2", "json");
  probe("a.db", "2", "csv");
  ASSERT_EQ(kept("a.db").size(), 1u);
  nlohmann::json line = kept("a.db")[0];
  EXPECT_NE(line["stored"]["command"].get<std::string>().find("-o csv"), std::string::npos);
  EXPECT_EQ(line["stored"].size(), 4u);
  line.erase("stored");
  EXPECT_EQ(line, nlohmann::json::parse(first));
  EXPECT_EQ(line["steps"].size(), 3u);  // the prefill and two decoding steps
  EXPECT_EQ(line["steps"][1]["cosine"].size(), 7u);

  probe("a.db", "3", "json");
  EXPECT_EQ(kept("a.db").size(), 2u);
  // There is no table in it.
  const ProcessResult table = run_skipbench({"table", (folder / "a.db").string()});
  EXPECT_EQ(table.exit_code, 2);
  EXPECT_NE(table.errors.find("holds no run"), std::string::npos) << table.errors;
  fs::remove_all(folder);
}

// A separator that is one token makes a text shorter than its letters do.
TEST(ProbeOfTexts, ParsesSpecialTokensOnRequest) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "skipbench_special.txt").string();
  std::ofstream(path) << "Guten Tag!<en>Hello!\n";
  const auto tokens = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = {
        "probe",    "--model",        SKIPBENCH_SOURCE_DIR "/models/miniature", "--input", path,
        "--scores", "block_influence"};
    args.insert(args.end(), more.begin(), more.end());
    const ProcessResult result = run_skipbench(args);
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return nlohmann::json::parse(result.output).at("data").at("tokens").get<int>();
  };
  EXPECT_LT(tokens({"--parse-special"}), tokens({}));
  std::filesystem::remove(path);
}

// As a sweep measures drift: against the whole model without adapter.
TEST(ProbeOfAConfiguration, RunsTheStrategysAdapter) {
  // The configuration's paths are seen from the repository's root.
  const auto probe = [](const std::string& target, const std::string& adapter) {
    std::string command = "cd '" SKIPBENCH_SOURCE_DIR "' && '" SKIPBENCH_BINARY
                          "' probe configs/quickstart.yaml --set 'strategies=[full,unified]' "
                          "--limit 2 --scores block_influence --strategy unified --target " +
                          target;
    if (!adapter.empty()) command += " --set model.adapter=" + adapter;
    return run_process(std::vector<std::string>{"bash", "-c", command}, "",
                       /*timeout_seconds=*/120);
  };
  const ProcessResult own = probe("2", ""), none = probe("2", "none"), other = probe("7", "");
  ASSERT_EQ(own.exit_code, 0) << own.errors;
  ASSERT_EQ(none.exit_code, 0) << none.errors;
  const auto with = nlohmann::json::parse(own.output), without = nlohmann::json::parse(none.output);
  EXPECT_TRUE(with.at("strategy").at("adapter").get<std::string>().ends_with("unified-2x"));
  EXPECT_NE(with.at("strategy").at("model_hash"), with.at("model_hash"));
  EXPECT_FALSE(without.at("strategy").contains("adapter"));
  EXPECT_EQ(with.at("scores"), without.at("scores"));
  // A later step, whose input is the same in both: the adapter was trained to come nearer.
  EXPECT_LT(with.at("steps").at(3).at("kl"), without.at("steps").at(3).at("kl"));
  EXPECT_NE(other.errors.find("no unified at target 7"), std::string::npos) << other.errors;
}

}  // namespace
}  // namespace skipbench
