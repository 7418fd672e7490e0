// What each command prints, field by field.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include "tests/cli/run_skipbench.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

TEST(Plan, PrintsThePapersSets) {
  const ProcessResult result = run_skipbench(
      {"plan", "--layers", "30", "--strategy", "unified", "--target", "5", "--steps", "3"});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  const Json json = Json::parse(result.output);
  EXPECT_EQ(json["prefill"].size(), 30);
  const Json set = {0, 6, 12, 18, 24, 29};
  EXPECT_EQ(json["steps"], Json({set, set, set}));
  EXPECT_EQ(json["longest_skipped_run"], 5);
}

TEST(Plan, OfAModelsLayers) {
  const std::vector<std::string> common = {"plan", "--strategy", "unified", "--target", "3"};
  const auto plan = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = common;
    args.insert(args.end(), more.begin(), more.end());
    return run_skipbench(args);
  };
  const std::string model = fixture("bloom-7layers");
  EXPECT_EQ(plan({"--model", model}).output, plan({"--layers", "7"}).output);
  for (const auto& wrong : {plan({}), plan({"--layers", "7", "--model", model})}) {
    EXPECT_EQ(wrong.exit_code, 2);
    EXPECT_NE(wrong.errors.find("--layers N or --model M"), std::string::npos) << wrong.errors;
  }
}

TEST(Plan, OfADynamicStrategyIsItsRule) {
  const Json json =
      Json::parse(run_skipbench({"plan", "--layers", "30", "--strategy", "early_exit", "--target",
                                 "2", "--param", "threshold=0.5", "--param", "min_layer=4"})
                      .output);
  EXPECT_EQ(json["rule"]["min_layer"], 4);
  EXPECT_EQ(json["rule"]["threshold"], 0.5);
  EXPECT_EQ(json["budget"], 15);
}

TEST(Plan, SaysThatExitDepthsAreReplayed) {
  const Json json =
      Json::parse(run_skipbench({"plan", "--layers", "30", "--strategy", "early_exit", "--target",
                                 "2", "--param", "depths=14,15,17", "--param", "min_layer=14"})
                      .output);
  EXPECT_EQ(json["rule"]["threshold"], nullptr);
  EXPECT_EQ(json["rule"]["depths"]["list"], Json({14, 15, 17}));
  EXPECT_EQ(json["rule"]["depths"]["replayed_from"], "a list of its own");
  EXPECT_EQ(json["rule"]["depths"]["entry"], "(step + 7 text) mod 3");
}

TEST(Logprobs, EqualTheFixtures) {
  std::ifstream file(std::string(SKIPBENCH_SOURCE_DIR) + "/tests/fixtures/cases/qwen3.json");
  const Json wanted = Json::parse(file);
  std::string input;
  for (const Json& request : wanted["requests"]) input += request.dump() + "\n";
  for (const Json& one : wanted["cases"]) {
    if (one.contains("params")) continue;  // tests/model covers parameters
    const ProcessResult result = skipbench_with_input(
        input, {"logprobs", "--model", fixture("qwen3"), "--input", "-", "--strategy",
                one["strategy"], "--target", one["target"].dump(), "--batch", "2"});
    ASSERT_EQ(result.exit_code, 0) << result.errors;
    const auto lines = json_lines(result.output);
    ASSERT_EQ(lines.size(), one["logprobs"].size());
    for (size_t r = 0; r < lines.size(); ++r) {
      EXPECT_EQ(lines[r]["layers_per_token"], one["layers_per_token"][r]);
      for (size_t i = 0; i < lines[r]["logprobs"].size(); ++i) {
        EXPECT_NEAR(lines[r]["logprobs"][i].get<double>(), one["logprobs"][r][i].get<double>(),
                    1e-4);
      }
    }
  }
}

TEST(Inspect, SaysShapeTypesAndMemory) {
  const Json json = Json::parse(run_skipbench({"inspect", fixture("llama-q4_1-tied.gguf")}).output);
  EXPECT_EQ(json["family"], "llama");
  EXPECT_TRUE(json["weights"]["matrices"].contains("q4_1"));
  EXPECT_GT(json["memory"]["kv_bytes"].get<int64_t>(), 0);
}

// Seven layers, of which unified at 3 keeps 0 and 6; prompts still go through all of them.
TEST(Inspect, PlansTheCacheOfAStrategy) {
  const auto memory = [](std::vector<std::string> options) {
    std::vector<std::string> command = {"inspect", fixture("bloom-7layers"), "-b", "3", "--context",
                                        "10"};
    command.insert(command.end(), options.begin(), options.end());
    const ProcessResult result = run_skipbench(command);
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return Json::parse(result.output)["memory"];
  };
  const Json full = memory({});
  EXPECT_EQ(full["layers_without_cache"], Json::array());
  EXPECT_EQ(full["transient_kv_bytes"], 0);
  const auto layer_bytes = full["kv_bytes"].get<int64_t>() / 7;
  const Json unified = memory({"--strategy", "unified", "--target", "3"});
  EXPECT_EQ(unified["layers_without_cache"], (Json{1, 2, 3, 4, 5}));
  EXPECT_EQ(unified["kv_bytes"], 2 * layer_bytes);
  EXPECT_EQ(unified["transient_kv_bytes"], layer_bytes);
  EXPECT_EQ(unified["total_bytes"].get<int64_t>(),
            full["total_bytes"].get<int64_t>() - 4 * layer_bytes);
  const Json early = memory({"--strategy", "early_exit", "--target", "2", "--param", "kv=absent"});
  EXPECT_EQ(early["kv_bytes"], full["kv_bytes"]);
  EXPECT_EQ(early["presence_bytes"], 7 * 3 * 10);
  EXPECT_EQ(memory({"--dtype", "f16"})["kv_bytes"].get<int64_t>(), 7 * layer_bytes / 2);

  // Only pruning leaves layers out of the prompts too, here four of seven, or three MLPs.
  for (const Json& others : {full, unified, early}) EXPECT_EQ(others["unused_weight_bytes"], 0);
  const auto unused = [&](std::vector<std::string> options) {
    const Json pruned = memory(std::move(options));
    EXPECT_EQ(pruned["weight_bytes"], full["weight_bytes"]);
    return pruned["unused_weight_bytes"].get<int64_t>();
  };
  const auto unused_by = [&](const std::string& attention, const std::string& mlp) {
    return unused({"--strategy", "layers", "--param", "attention=" + attention, "--param",
                   "mlp=" + mlp, "--param", "prefill=same"});
  };
  const int64_t attention = unused_by("1-6", "0-6"), mlp = unused_by("0-6", "1-6");
  EXPECT_GT(attention, 0);
  EXPECT_GT(mlp, attention);
  EXPECT_EQ(unused_by("0-6", "0-3"), 3 * mlp);
  EXPECT_EQ(unused({"--strategy", "static_pruning", "--target", "2", "--param", "order=5,2,3,1,4"}),
            4 * (attention + mlp));
}

TEST(Score, PrintsSacreBleusFields) {
  const std::string folder = testing::TempDir();
  std::ofstream(folder + "/ref.txt") << "the cat sat on the mat\nit rains\n";
  std::ofstream(folder + "/hyp.txt") << "the cat sat on the mat\nit rains\n";
  const ProcessResult result =
      run_skipbench({"score", "--metric", "bleu", "--reference", folder + "/ref.txt",
                     "--hypothesis", folder + "/hyp.txt"});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  Json json = Json::parse(result.output);
  if (json.is_array()) json = json.front();
  EXPECT_EQ(json["name"], "BLEU");
  EXPECT_NEAR(json["score"].get<double>(), 100.0, 1e-9);
  EXPECT_NE(json["signature"].get<std::string>().find("tok:13a|smooth:exp"), std::string::npos);
}

TEST(Score, MetricsHaveCommasAndOneFileMayBeStandardInput) {
  const std::string text = "the cat sat on the mat\nit rains\n", file = testing::TempDir() + "/mat";
  std::ofstream(file) << text;
  const auto scored = [&](std::vector<std::string> files) {
    files.insert(files.begin(), {"score", "-m", "bleu,chrf"});
    return skipbench_with_input(text, std::move(files));
  };
  const ProcessResult result = scored({"-r", file, "-i", "-"});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  const Json json = Json::parse(result.output);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["name"], "BLEU");
  EXPECT_EQ(json[1]["name"], "chrF2");
  EXPECT_NEAR(json[1]["score"].get<double>(), 100.0, 1e-9);
  const ProcessResult twice = scored({"-r", file, "-i", "-", "-"});
  EXPECT_EQ(twice.exit_code, 2);
  EXPECT_NE(twice.errors.find("read only once"), std::string::npos) << twice.errors;
}

TEST(Export, TextsNeedAFolderAndOnlyTexts) {
  const auto refusal = [](std::vector<std::string> args) {
    args.insert(args.begin(), {"export", "none.db"});
    const ProcessResult result = run_skipbench(std::move(args));
    EXPECT_EQ(result.exit_code, 2);
    return result.errors;
  };
  EXPECT_NE(refusal({"--to", "texts"}).find("-o"), std::string::npos);
  EXPECT_NE(refusal({"--outputs", "-o", "x"}).find("--to texts"), std::string::npos);
  EXPECT_NE(refusal({"--to", "exit-depths", "-o", "x"}).find("--to texts"), std::string::npos);
}

TEST(Bench, EveryFormatAndFullAsTheBase) {
  const std::vector<std::string> common = {"bench",   "--model",  fixture("bloom-7layers"),
                                           "-p",      "4",        "-n",
                                           "4",       "-b",       "1,2",
                                           "-r",      "2",        "--strategy",
                                           "unified", "--target", "1,2"};
  const auto bench = [&](const std::string& format) {
    std::vector<std::string> args = common;
    args.insert(args.end(), {"-o", format});
    const ProcessResult result = run_skipbench(args);
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return result.output;
  };
  const Json rows = Json::parse(bench("json"));
  ASSERT_EQ(rows.size(), 12);  // {full, 1x, 2x} x {pp, tg} x {1, 2}
  for (const Json& row : rows) {
    EXPECT_EQ(row["samples_ts"].size(), 2);
    EXPECT_EQ(row["n_threads"].get<int>() > 0, true);
    if (row["strategy"] == "full") {
      EXPECT_EQ(row["speedup"], 1.0);
    }
    if (row["n_gen"] == 4 && row["target"] == 2) {
      EXPECT_EQ(row["layers"], 3.0);
    }
  }
  EXPECT_EQ(json_lines(bench("jsonl")).size(), rows.size());
  EXPECT_NE(bench("md").find("| tg4 @ d4 |"), std::string::npos);
  EXPECT_EQ(bench("csv").find("build_commit,"), 0);
  EXPECT_EQ(bench("sql").find("CREATE TABLE IF NOT EXISTS"), 0);
}

TEST(Bench, EachStrategyTakesTheParametersThatItHas) {
  std::vector<std::string> args = {"bench",   "--model",    fixture("bloom-7layers"),
                                   "-p",      "1",          "-n",
                                   "2",       "-r",         "1",
                                   "-o",      "json",       "--target",
                                   "2",       "--strategy", "unified,random,layers",
                                   "--param", "layers=0-1", "--param",
                                   "seed=3",  "--param",    "spacing=even"};
  const ProcessResult result = run_skipbench(args);
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  std::map<std::string, double> layers;
  for (const Json& row : Json::parse(result.output)) {
    if (row["n_gen"] == 2) layers[row["strategy"]] = row["layers"];
  }
  EXPECT_EQ(layers, (std::map<std::string, double>{
                        {"full", 7}, {"unified", 3}, {"random", 3}, {"layers", 2}}));
  args.insert(args.end(), {"--param", "sede=3"});
  const ProcessResult wrong = run_skipbench(args);
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_NE(wrong.errors.find("no strategy here has the parameter 'sede'"), std::string::npos)
      << wrong.errors;
}

TEST(Bench, SaysWhereReplayedExitDepthsComeFrom) {
  const auto bench = [](const std::string& format) {
    const ProcessResult result = run_skipbench(
        {"bench", "--model", fixture("bloom-7layers"), "-p", "2", "-n", "4", "-b", "2", "-r", "1",
         "--strategy", "early_exit", "--target", "2", "--param", "depths=2,4", "-o", format});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return result.output;
  };
  int replayed = 0;
  for (const Json& row : Json::parse(bench("json"))) {
    const bool replays = row["strategy"] == "early_exit" && row["n_gen"] == 4;
    EXPECT_EQ(row["exit_depths_from"], replays ? "a list of its own" : "");
    if (!replays) continue;
    EXPECT_EQ(row["layers"], 3.0);
    EXPECT_GT(row["exit_test_share"], 0.0);
    EXPECT_LT(row["exit_test_share"], 1.0);
    ++replayed;
  }
  EXPECT_EQ(replayed, 1);
  EXPECT_NE(bench("md").find("early_exit 2x: exit depths replayed from a list of its own"),
            std::string::npos);
}

TEST(Synthetic, OneSeedOneModel) {
  const std::string config = fixture("qwen3") + "/config.json";
  const auto tokens = [&](const std::string& model, std::vector<std::string> more) {
    std::vector<std::string> args = {"generate", "--model", model, "--input", "-", "--ids"};
    args.insert(args.end(), more.begin(), more.end());
    return skipbench_with_input("[1,2,3]\n", args).output;
  };
  const std::string seven = tokens("synthetic:" + config + ":7", {});
  EXPECT_FALSE(seven.empty());
  EXPECT_EQ(tokens("synthetic:" + config, {"--seed", "7"}), seven);
  EXPECT_NE(tokens("synthetic:" + config, {"--seed", "8"}), seven);
}

// Programs that answer `bench` as fast and as slow builds would.
TEST(Regress, ExitCodeIsTheVerdict) {
  const std::string folder = testing::TempDir() + "/regress";
  std::filesystem::create_directories(folder);
  const auto program = [&](const std::string& name, int speed, const std::string& reasons = "") {
    const std::string path = folder + "/" + name;
    std::ofstream(path)
        << "#!/bin/sh\necho '[{\"build_commit\":\"0123456789\",\"cpu_info\":\"c\","
           "\"backends\":\"cpu\",\"instruction_set\":\"\",\"model_type\":\"m\","
           "\"model_size\":5,\"n_threads\":1,\"type_k\":\"f32\",\"n_prompt\":0,"
           "\"n_gen\":8,\"n_depth\":4,\"strategy\":\"full\",\"target\":1,\"batch\":1,"
           "\"clock_reasons\":\""
        << reasons << "\",\"samples_ts\":[" << speed << "]}]'\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  };
  const std::string fast = program("fast", 100), slow = program("slow", 80);
  const auto compare = [&](const std::string& a, const std::string& b, const std::string& pilot) {
    return run_skipbench({"regress", "run", "--baseline-binary", a, "--candidate-binary", b,
                          "--pilot", pilot, "--max-runs", pilot, "--keep",
                          folder + "/" + pilot + ".jsonl", "--", "--model", "any"});
  };
  std::filesystem::remove(folder + "/6.jsonl");
  EXPECT_EQ(compare(fast, slow, "6").exit_code, 1);
  EXPECT_EQ(compare(fast, fast, "7").exit_code, 0);
  const ProcessResult few = compare(fast, fast, "2");
  EXPECT_EQ(few.exit_code, 2);
  EXPECT_NE(few.output.find("are needed"), std::string::npos) << few.output << few.errors;
  EXPECT_EQ(compare(folder + "/none", fast, "2").exit_code, 2);
  const ProcessResult hot = compare(fast, program("hot", 80, "heat (slowdown by hardware)"), "8");
  EXPECT_EQ(hot.exit_code, 2);
  EXPECT_NE(hot.output.find("cannot judge: model_type=m"), std::string::npos) << hot.output;
  EXPECT_NE(hot.output.find("slowed card"), std::string::npos) << hot.output << hot.errors;
  // The kept history says the same.
  const auto from_history = [&](const std::string& baseline, const std::string& min_effect) {
    return run_skipbench({"regress", "--history", folder + "/6.jsonl", "--baseline", baseline,
                          "--candidate", "candidate", "--min-effect", min_effect, "--detect",
                          "30%"})
        .exit_code;
  };
  EXPECT_EQ(from_history("baseline", "3%"), 1);
  EXPECT_EQ(from_history("baseline", "0.25"), 0);  // a fifth slower is less than a quarter
  EXPECT_EQ(from_history("other", "3%"), 2);
}

std::filesystem::path probe_texts_file() {
  const auto path = std::filesystem::temp_directory_path() / "skipbench_probe_texts.jsonl";
  std::ofstream(path) << "{\"prompt\": [1, 2], \"continuation\": [3, 4, 5]}\n\n"
                      << "{\"text\": [9, 8, 7, 6]}\n{\"text\": [9]}\n";
  return path;
}

// What probe prints is what static_pruning reads.
TEST(Probe, PrintsScoresThatPruneAndTheDriftOfARun) {
  const std::vector<std::string> probe = {"probe", "--model", fixture("bloom-7layers"), "--input",
                                          probe_texts_file().string()};
  std::vector<std::string> args = probe;
  for (const char* more : {"--scores", "block_influence,perplexity,greedy", "--greedy-layers", "4",
                           "--protect-first", "1", "--protect-last", "1", "--strategy",
                           "static_pruning", "--target", "2", "--param", "score=block_influence"}) {
    args.emplace_back(more);
  }
  const ProcessResult result = run_skipbench(args);
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  const Json json = Json::parse(result.output);
  EXPECT_EQ(json["layers"], 7);
  EXPECT_EQ(json["data"]["texts"], 2);  // a text of one token predicts nothing
  EXPECT_EQ(json["data"]["tokens"], 9);
  EXPECT_EQ(json["data"]["predicted_tokens"], 6);
  EXPECT_EQ(json["scores"]["block_influence"].size(), 7);
  EXPECT_EQ(json["scores"]["perplexity"].size(), 7);
  EXPECT_EQ(json["scores"]["greedy"].size(), 4);
  ASSERT_EQ(json["steps"].size(), 3);  // the prefill, and two tokens fed back
  EXPECT_EQ(json["steps"][0]["layers"], 3);
  EXPECT_EQ(json["steps"][1]["cosine"].size(), 7);

  const auto scores = std::filesystem::temp_directory_path() / "skipbench_probe_scores.json";
  std::ofstream(scores) << result.output;
  for (const std::string score : {"block_influence", "perplexity", "greedy"}) {
    const ProcessResult plan =
        run_skipbench({"plan", "--layers", "7", "--strategy", "static_pruning", "--target", "2",
                       "--param", "score=" + score, "--param", "scores=" + scores.string()});
    ASSERT_EQ(plan.exit_code, 0) << plan.errors;
    EXPECT_EQ(Json::parse(plan.output)["steps"][0].size(), 3) << score;
  }

  // And what adaskip reads.
  std::vector<std::string> sublayers = probe;
  for (const char* more : {"--scores", "sublayers"}) sublayers.emplace_back(more);
  const ProcessResult measured = run_skipbench(sublayers);
  ASSERT_EQ(measured.exit_code, 0) << measured.errors;
  EXPECT_EQ(Json::parse(measured.output)["scores"]["mlp"]["norm_ratio"].size(), 7);
  std::ofstream(scores) << measured.output;
  const ProcessResult plan =
      run_skipbench({"plan", "--layers", "7", "--strategy", "adaskip", "--target", "2", "--steps",
                     "21", "--param", "scores=" + scores.string()});
  ASSERT_EQ(plan.exit_code, 0) << plan.errors;
  const Json adaskip = Json::parse(plan.output);
  EXPECT_EQ(adaskip["skip_scales"]["attention"].size(), 7);
  EXPECT_GT(adaskip["steps"][19]["mlp"].size(), adaskip["steps"][20]["mlp"].size());

  args.emplace_back("-o");
  args.emplace_back("csv");
  const std::string csv = run_skipbench(args).output;
  EXPECT_TRUE(csv.starts_with("measure,step,layer,length,value\n")) << csv;
  EXPECT_NE(csv.find("\ncosine,prefill,0,,"), std::string::npos);
  EXPECT_NE(csv.find("\nnorm_ratio,1,6,,"), std::string::npos);
  EXPECT_EQ(csv.find("\ngreedy,4,"), std::string::npos);
}

TEST(Help, EveryCommandHasAnExample) {
  for (const char* command :
       {"run", "validate", "table", "plot", "regress", "export", "generate", "logprobs", "tokenize",
        "plan", "probe", "search", "strategies", "score", "inspect", "bench"}) {
    const ProcessResult result = run_skipbench({command, "--help"});
    EXPECT_EQ(result.exit_code, 0) << command;
    EXPECT_NE(result.output.find("skipbench " + std::string(command)), std::string::npos)
        << command;
    EXPECT_TRUE(result.errors.empty()) << command;
  }
}

}  // namespace
}  // namespace skipbench
