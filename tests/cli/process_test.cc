// skipbench as a process among others: a closed pipe, a full disk, signals, and the commands of a
// sweep one after the other.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "tests/cli/run_skipbench.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

// `script` for a shell in which $SKIPBENCH is the binary.
ProcessResult shell(const std::string& script) {
  const std::vector<std::string> argv = {"bash", "-c",
                                         "SKIPBENCH='" SKIPBENCH_BINARY "'; " + script};
  return run_process(argv, "", /*timeout_seconds=*/120);
}

constexpr char kLongOutput[] =
    "\"$SKIPBENCH\" plan --layers 80 --strategy unified --target 2 --steps 20000";

TEST(Process, ReaderGoesAwayEarly) {
  const ProcessResult result =
      shell(std::string("set -o pipefail; ") + kLongOutput + " | head -c 1 > /dev/null");
  EXPECT_EQ(result.exit_code, 3) << result.errors;  // interrupted; not 141, a signal
  EXPECT_EQ(result.errors, "");                     // the reader chose to
}

TEST(Process, FullDiskIsNoSuccess) {
  const ProcessResult result = shell(std::string(kLongOutput) + " > /dev/full");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.errors.find("could not write to standard output"), std::string::npos)
      << result.errors;
}

// A folder with the configuration of a small sweep of random weights.
class SweepCommands : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("skipbench_cli_" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(folder_ / "source") << "eins zwei\ndrei\nvier\nfuenf\n";
    std::ofstream(folder_ / "reference") << "one two\nthree\nfour\nfive\n";
    write_config(/*new_tokens=*/4);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write_config(int new_tokens) {
    Json model = Json::parse(std::ifstream(fixture("bloom-7layers") + "/config.json"));
    model["vocab_size"] = 2000;  // no smaller than the tokenizer's
    std::ofstream(folder_ / "model.json") << model;
    std::ofstream(folder_ / "sweep.yaml")
        << "name: process\nmodel: {path: \"synthetic:" << path("model.json")
        << "\", tokenizer: " << SKIPBENCH_SOURCE_DIR
        << "/tests/fixtures/tokenizer/spm-unigram/tokenizer.model}\n"
        << "datasets:\n  - {name: d, source: " << path("source")
        << ", reference: " << path("reference") << ", prompt: \"{source}\", metrics: [bleu]}\n"
        << "decoding: {max_new_tokens: " << new_tokens << "}\nstrategies: [full, unified]\n"
        << "targets: [2]\nbatch_sizes: [2]\n"
        << "timing: {repetitions: 1, warmup: 0, new_tokens: " << new_tokens << ", prompts: 2}\n"
        << "results: " << path("r.db") << "\n";
  }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

TEST_F(SweepCommands, SearchPrintsSchedulesAndTheBestToPaste) {
  std::ofstream(folder_ / "reference") << "one two\nthree\nfour and some more\nfive and one more\n";
  const std::vector<std::string> args = {
      "search",
      path("sweep.yaml"),
      "--strategy",
      "skip_decode",
      "--target",
      "1.4",
      "--set",
      "datasets.d.limit=2",
      "--set",
      "strategies=[full, {name: skip_decode, targets: [1.4], params: {expected_length: 9, "
      "min_layers: 4, warmup_layers: 0}}]"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), args.begin(), args.end());
    return run_skipbench(more);
  };
  const ProcessResult result = with({});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  const Json found = Json::parse(result.output);
  EXPECT_EQ(found["strategy"], "skip_decode");
  EXPECT_NE(result.errors.find("3 of 3 schedules measured"), std::string::npos) << result.errors;
  EXPECT_EQ(found["budget"], 5);              // of 7 layers
  EXPECT_EQ(found["prompts"], 2);             // of 4, 2 evaluated
  ASSERT_EQ(found["candidates"].size(), 3u);  // 3 to 5; the sweep's own 4 is not kept
  for (const Json& candidate : found["candidates"]) {
    EXPECT_EQ(candidate["params"]["warmup_layers"], "0");
    EXPECT_EQ(candidate["max_layers"], 10 - candidate["min_layers"].get<int>());
    EXPECT_GT(candidate["loss"].get<double>(), 0);
    EXPECT_TRUE(candidate.contains("score"));
  }
  Json best = found["candidates"][0]["params"];
  best.erase("expected_length");
  EXPECT_EQ(found["best"], best);
  EXPECT_EQ(found["by"], "bleu");
  const Json by_loss = Json::parse(with({"--by-loss"}).output);
  EXPECT_EQ(by_loss["by"], "loss");
  ASSERT_EQ(by_loss["candidates"].size(), 3u);
  double last = 0;
  for (const Json& candidate : by_loss["candidates"]) {
    EXPECT_FALSE(candidate.contains("score"));
    if (candidate["layers"] > 5.05) break;  // more than 1 % above the budget
    EXPECT_GE(candidate["loss"].get<double>(), last);
    last = candidate["loss"].get<double>();
  }

  const auto refused = [&](const ProcessResult& wrong, const std::vector<std::string>& says) {
    EXPECT_EQ(wrong.exit_code, 2) << wrong.errors;
    EXPECT_EQ(wrong.output, "");
    for (const std::string& part : says) {
      EXPECT_NE(wrong.errors.find(part), std::string::npos) << part << " not in: " << wrong.errors;
    }
  };
  refused(with({"--param", "expected_length=9"}), {"expected_length", "--param"});
  refused(with({"--min-layers", "2,4"}), {"--min-layers", "[3, 5]"});
  refused(with({"--signals", "cosine"}), {"--signals", "early_exit"});
  refused(run_skipbench({"search", path("sweep.yaml"), "--strategy", "unified"}),
          {"--strategy", "early_exit or skip_decode", "unified"});
  refused(run_skipbench({"search", path("sweep.yaml"), "--strategy", "skip_decode", "--target", "1",
                         "--set", "datasets.d.limit=2"}),
          {"nothing to search", "7 of 7 layers"});
}

TEST_F(SweepCommands, RunTableAndExportAgree) {
  const ProcessResult run = run_skipbench({"run", path("sweep.yaml")});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  const ProcessResult table = run_skipbench({"table", path("r.db")});
  ASSERT_EQ(table.exit_code, 0) << table.errors;
  EXPECT_EQ(run.output, table.output);
  const Json rows =
      Json::parse(run_skipbench({"table", path("r.db"), "-o", "json"}).output)["rows"];
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows[0]["layers"], 7.0);
  EXPECT_EQ(rows[1]["layers"], 3.0);
  const auto outputs = json_lines(run_skipbench({"export", path("r.db"), "--outputs"}).output);
  int sentences = 0;
  for (const Json& line : outputs) {
    for (const char* key : {"cell", "strategy", "target", "batch", "index", "tokens", "text",
                            "reference", "layers_per_token", "prefill_us", "decode_us"}) {
      EXPECT_TRUE(line.contains(key)) << key;
    }
    sentences += line["strategy"] == "unified" && line["reference"] == "three" ? 1 : 0;
  }
  EXPECT_GE(sentences, 1);
  const ProcessResult report = run_skipbench({"report", path("r.db"), "-o", path("r.html")});
  ASSERT_EQ(report.exit_code, 0) << report.errors;
  EXPECT_GT(fs::file_size(path("r.html")), 5000u);
  EXPECT_EQ(run_skipbench({"report", path("r.db"), "-o", path("absent/r.html")}).exit_code, 2);
}

TEST_F(SweepCommands, OptionsThatAnOutputDoesNotReadAreRefused) {
  ASSERT_EQ(run_skipbench({"run", path("sweep.yaml")}).exit_code, 0);
  const std::vector<std::pair<std::vector<std::string>, std::string>> commands = {
      {{"table", path("r.db"), "--baseline", "unified"},
       "expected it with --significance, got uni"},
      {{"table", path("r.db"), "--run", "first"}, "--run: not the number of a run"},
      {{"table", path("r.db"), "--run", "2"},
       "--run: the results file has no such run; expected 1"},
      {{"plot", path("r.db"), "-o", path("p.svg"), "--run", "list"}, "--run: not the number"},
      {{"report", path("r.db"), "-o", path("r.html"), "--run", "2"}, "no such run; expected 1"},
      {{"export", path("r.db"), "--outputs", "--run", "2"}, "no such run; expected 1, got 2"},
      {{"export", path("r.db"), "--to", "texts", "-o", path("t"), "--run", "2"}, "no such run"},
      {{"export", path("r.db"), "--probes", "--run", "1"}, "which are of no run"},
      {{"export", path("r.db"), "--outputs", "--steps", "3"}, "expected it with --to exit-depths"},
      {{"export", path("r.db"), "--to", "llama-bench", "--steps", "3"}, "--steps: "},
      {{"export", path("r.db"), "--probes", "--timing"}, "expected it with --outputs"}};
  for (const auto& [command, says] : commands) {
    const ProcessResult result = run_skipbench(command);
    EXPECT_EQ(result.exit_code, 2) << command[0] << result.errors;
    EXPECT_EQ(result.output, "");
    EXPECT_NE(result.errors.find(says), std::string::npos) << says << " not in " << result.errors;
  }
  const ProcessResult list = run_skipbench({"table", path("r.db"), "--run", "list"});
  EXPECT_EQ(list.exit_code, 0) << list.errors;
  EXPECT_TRUE(list.output.starts_with("1  20")) << list.output;
  EXPECT_NE(list.output.find("  4 cells  "), std::string::npos) << list.output;
  EXPECT_EQ(run_skipbench({"table", path("r.db"), "--run", "1"}).output,
            run_skipbench({"table", path("r.db")}).output);
}

// A later run with less in it hides nothing.
TEST_F(SweepCommands, AnEarlierRunIsShownByEveryCommand) {
  ASSERT_EQ(run_skipbench({"run", path("sweep.yaml")}).exit_code, 0);
  const auto output = [](std::vector<std::string> args, const std::string& run) {
    if (!run.empty()) args.insert(args.end(), {"--run", run});
    const ProcessResult result = run_skipbench(args);
    EXPECT_EQ(result.exit_code, 0) << args[0] << result.errors;
    return result.output;
  };
  const std::vector<std::vector<std::string>> exports = {
      {"export", path("r.db"), "--outputs", "--timing"},
      {"export", path("r.db"), "--to", "llama-bench"},
      {"export", path("r.db"), "--to", "google-benchmark"}};
  std::vector<std::string> before;
  for (const auto& args : exports) before.push_back(output(args, ""));
  ASSERT_EQ(run_skipbench({"run", path("sweep.yaml"), "--set", "strategies=[full]"}).exit_code, 0);
  for (size_t i = 0; i < exports.size(); ++i) {
    EXPECT_NE(output(exports[i], ""), before[i]);
    EXPECT_EQ(output(exports[i], "1"), before[i]);
  }
  output({"export", path("r.db"), "--to", "texts", "-o", path("texts")}, "1");
  EXPECT_TRUE(fs::exists(path("texts/d/unified-2x.txt")));
  const auto made = [&](const std::string& command, const std::string& file,
                        const std::string& run) {
    output({command, path("r.db"), "-o", path(file)}, run);
    std::ifstream in(path(file));
    return std::string((std::istreambuf_iterator<char>(in)), {}).find("unified");
  };
  EXPECT_EQ(made("plot", "p.svg", ""), std::string::npos);
  EXPECT_NE(made("plot", "p.svg", "1"), std::string::npos);
  EXPECT_EQ(made("report", "r.html", ""), std::string::npos);
  EXPECT_NE(made("report", "r.html", "1"), std::string::npos);
}

TEST_F(SweepCommands, ADryRunListsTheShardsCells) {
  std::set<std::string> identities;
  for (const std::string shard : {"1/2", "2/2"}) {
    const ProcessResult result =
        run_skipbench({"run", path("sweep.yaml"), "--dry-run", "--shard", shard});
    ASSERT_EQ(result.exit_code, 0) << result.errors;
    const auto cells = json_lines(result.output);
    EXPECT_NE(result.errors.find("shard " + shard + ": " + std::to_string(cells.size()) +
                                 " of 4 cells\n"),
              std::string::npos)
        << result.errors;
    for (const Json& cell : cells) identities.insert(cell["identity"]);
  }
  EXPECT_EQ(identities.size(), 4u);
}

// Neither the file that is read nor another database, by whatever name, is written over.
TEST_F(SweepCommands, ResultsAreNeverWrittenOver) {
  ASSERT_EQ(run_skipbench({"run", path("sweep.yaml")}).exit_code, 0);
  const auto bytes = [&](const std::string& name) {
    std::ifstream file(path(name), std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(file)), {});
  };
  const std::string before = bytes("r.db");
  for (const char* name : {"page.html", "plot.svg", "plot.png"}) {
    fs::copy_file(path("r.db"), path(name));
  }
  fs::create_symlink(path("r.db"), path("link.html"));
  std::ofstream(path("probe.svg")) << "{}";
  const std::vector<std::vector<std::string>> commands = {
      {"report", path("r.db"), "-o", path("r.db")},
      {"report", path("r.db"), "-o", path("link.html")},
      {"report", path("r.db"), "-o", path("page.html")},
      {"plot", path("r.db"), "-o", path("plot.svg")},
      {"plot", path("plot.png"), "-o", path("plot.png")},
      {"plot", path("probe.svg"), "--kind", "steps", "-o", path("probe.svg")},
      {"merge", path("r.db"), "-o", path("r.db")},
      {"regress", "run", "--baseline-binary", SKIPBENCH_BINARY, "--candidate-binary",
       SKIPBENCH_BINARY, "--keep", path("r.db"), "--", "--model", fixture("bloom-7layers"), "-p",
       "1", "-n", "1", "-r", "1"}};
  for (const auto& command : commands) {
    const ProcessResult result = run_skipbench(command);
    EXPECT_EQ(result.exit_code, 2) << command[0] << result.errors;
    const bool says = result.errors.find("would be written over") != std::string::npos ||
                      result.errors.find(".html") != std::string::npos ||
                      result.errors.find("there already") != std::string::npos;
    EXPECT_TRUE(says) << command[0] << ": " << result.errors;
  }
  for (const char* name : {"r.db", "page.html", "plot.svg", "plot.png"}) {
    EXPECT_EQ(bytes(name), before) << name;
  }
  EXPECT_EQ(bytes("probe.svg"), "{}");
  const ProcessResult text = run_skipbench({"report", path("r.db"), "-o", path("new.txt")});
  EXPECT_EQ(text.exit_code, 2);
  EXPECT_NE(text.errors.find("ends in .html"), std::string::npos) << text.errors;
  const ProcessResult baseline =
      run_skipbench({"report", path("r.db"), "-o", path("new.html"), "--baseline", "unifid"});
  EXPECT_EQ(baseline.exit_code, 2);
  EXPECT_NE(baseline.errors.find("--baseline: "), std::string::npos) << baseline.errors;
  EXPECT_NE(baseline.errors.find("unified"), std::string::npos) << baseline.errors;
  EXPECT_FALSE(fs::exists(path("new.html")) || fs::exists(path("new.txt")));
}

// A limit of a file's size is met as a full disk is, not by a signal.
TEST_F(SweepCommands, ALimitOfFileSizeIsAnError) {
  const ProcessResult run =
      shell("ulimit -f 30; \"$SKIPBENCH\" run '" + path("sweep.yaml") + "'; exit $?");
  EXPECT_EQ(run.exit_code, 2) << run.errors;
  EXPECT_NE(run.errors.find("r.db: results file: "), std::string::npos) << run.errors;
  EXPECT_NE(run.errors.find("disk"), std::string::npos) << run.errors;
}

// The model is mapped before the first text is asked for: opening the pipe waits for that.
TEST_F(SweepCommands, AModelCutShortWhileItIsMappedIsAnError) {
  const ProcessResult result = shell(
      "cp -r '" + fixture("bloom-7layers") + "' '" + path("cut") + "'; mkfifo '" + path("texts") +
      "'; { exec 3> '" + path("texts") + "'; truncate -s 0 '" + path("cut") +
      "/model.safetensors'; printf '[1,2,3]\\n' >&3; } & \"$SKIPBENCH\" generate --ids --model '" +
      path("cut") + "' --input '" + path("texts") + "' --max-new-tokens 4");
  EXPECT_EQ(result.exit_code, 2) << result.errors;
  EXPECT_NE(result.errors.find("cut short"), std::string::npos) << result.errors;
}

TEST_F(SweepCommands, AnInterruptedRunSaysSoAndGoesOn) {
  write_config(/*new_tokens=*/200);
  const ProcessResult interrupted =
      shell("timeout --preserve-status -s INT 0.3 \"$SKIPBENCH\" run '" + path("sweep.yaml") +
            "' --set timing.repetitions=50; echo $? > '" + path("code") + "'");
  std::ifstream code(path("code"));
  int exit_code = -1;
  code >> exit_code;
  ASSERT_TRUE(exit_code == 3 || exit_code == 0) << exit_code << interrupted.errors;
  const ProcessResult resumed =
      run_skipbench({"run", path("sweep.yaml"), "--set", "timing.repetitions=2"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.errors;
}

TEST_F(SweepCommands, GenerateEndsWithThreeOnInterrupt) {
  const ProcessResult result =
      shell("printf '[1,2,3]\\n' > '" + path("ids") +
            "'; timeout --preserve-status -s TERM 0.5 \"$SKIPBENCH\" generate --model "
            "'synthetic:" SKIPBENCH_SOURCE_DIR
            "/tests/fixtures/models/bloom-7layers/config.json' --ids --ignore-eos --input '" +
            path("ids") + "' --max-new-tokens 1000000");
  EXPECT_EQ(result.exit_code, 3) << result.errors;
  EXPECT_NE(result.errors.find("interrupted"), std::string::npos) << result.errors;
}

TEST_F(SweepCommands, AStrategyFromAPlugin) {
  std::ifstream in(path("sweep.yaml"));
  std::string text((std::istreambuf_iterator<char>(in)), {});
  text.replace(text.find("[full, unified]"), 15, "[full, every_other]");
  std::ofstream(folder_ / "plugin.yaml") << text << "plugins: " SKIPBENCH_EXAMPLE_PLUGIN "\n";
  const ProcessResult run = run_skipbench({"run", path("plugin.yaml")});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_NE(run.output.find("| every_other |      2 |"), std::string::npos) << run.output;
  // Without its library the strategy is unknown, and the message says so.
  std::ofstream(folder_ / "plugin.yaml") << text;
  EXPECT_EQ(run_skipbench({"run", path("plugin.yaml")}).exit_code, 2);
}

TEST_F(SweepCommands, TimingsEnterAHistory) {
  ASSERT_EQ(run_skipbench({"run", path("sweep.yaml")}).exit_code, 0);
  const std::string row = "\"$SKIPBENCH\" export '" + path("r.db") + "' --to llama-bench";
  const ProcessResult history = shell("{ " + row + "; " + row + "; } > '" + path("h.json") +
                                      "'; \"$SKIPBENCH\" history '" + path("h.json") + "'");
  EXPECT_EQ(history.exit_code, 0) << history.errors;
  EXPECT_NE(history.output.find("strategy=unified target=2.0 dataset=d\n"), std::string::npos)
      << history.output;
  EXPECT_NE(history.output.find(": 2 runs, "), std::string::npos) << history.output;
}

// ROUGE has no token in Chinese, and 13a leaves its sentences whole.
TEST_F(SweepCommands, ValidateSaysWhichMetricsDoNotFit) {
  std::ofstream(folder_ / "reference") << "他跳过一些层。\n三层。\n今天很好。\n五层。\n";
  const ProcessResult refused = run_skipbench({"validate", path("sweep.yaml")});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.errors.find("tokenizer 13a does not split Chinese text"), std::string::npos)
      << refused.errors;
  const ProcessResult warned =
      run_skipbench({"validate", path("sweep.yaml"), "--set",
                     "datasets.d.metrics=[{bleu: {tokenize: 13a}}, rouge]"});
  EXPECT_EQ(warned.exit_code, 0) << warned.errors;
  const Json warnings = Json::parse(warned.output)["warnings"];
  ASSERT_EQ(warnings.size(), 2u) << warnings;
  EXPECT_EQ(warnings[0].get<std::string>().find("dataset 'd': bleu: tokenizer 13a"), 0u);
  EXPECT_EQ(warnings[1].get<std::string>().find("dataset 'd': rouge: 4 of 4 references"), 0u);
}

TEST_F(SweepCommands, TableOfNothing) {
  const ProcessResult result = run_skipbench({"table", path("absent.db")});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.errors.find("absent.db"), std::string::npos) << result.errors;
  EXPECT_FALSE(fs::exists(path("absent.db")));  // reading makes no store
}

TEST_F(SweepCommands, RescoreAddsAColumnAndMakesNoFile) {
  ASSERT_EQ(run_skipbench({"run", path("sweep.yaml")}).exit_code, 0);
  const std::string program =
      R"(awk '{ s = s c 1; c = "," } END { print "{\"name\":\"ROW\",\"scores\":[" s "]}" }')";
  EXPECT_EQ(run_skipbench({"rescore", path("r.db"), "--external", program}).exit_code, 0);
  EXPECT_NE(run_skipbench({"table", path("r.db")}).output.find(" ROW |"), std::string::npos);
  EXPECT_EQ(run_skipbench({"rescore", path("absent.db"), "--external", program}).exit_code, 2);
  EXPECT_FALSE(fs::exists(path("absent.db")));
}

}  // namespace
}  // namespace skipbench
