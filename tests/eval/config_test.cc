// The configuration: what is right is read whole, what is wrong says where and what is near.
#include "eval/sweep/config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "engine/base/error.h"
#include "eval/sweep/adapters.h"
#include "eval/sweep/config_keys.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

TEST(Config, MiniatureHasAnAdapterForEachStrategyAndTarget) {
  for (const std::string name : {"quickstart", "miniature"}) {
    SCOPED_TRACE(name);
    const SweepConfig config =
        load_sweep_config(std::string(SKIPBENCH_SOURCE_DIR) + "/configs/" + name + ".yaml");
    EXPECT_EQ(config.name, name);
    EXPECT_EQ(config.datasets.at(0).limit, 0);
    std::set<std::string> trained;
    for (const StrategySection& strategy : config.strategies) {
      for (const double target : strategy.targets) {
        const std::string folder = adapter_folder(config, strategy, target);
        EXPECT_EQ(folder.empty(), strategy.name == "full" || strategy.name == "self_speculative" ||
                                      strategy.label.ends_with("as is"))
            << strategy.label;
        if (folder.empty()) continue;
        EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(SKIPBENCH_SOURCE_DIR) / folder /
                                            "adapter_model.safetensors"))
            << folder;
        trained.insert(folder);
      }
    }
    const size_t of_one_target = trained.size() - 1;  // early exit's is one for all targets
    EXPECT_EQ(of_one_target, name == "quickstart" ? 9u : 20u + 5 * 4);  // five sets of `random`
  }
}

TEST(Config, SummariesHaveAnAdapterForEachStrategy) {
  const SweepConfig config =
      load_sweep_config(std::string(SKIPBENCH_SOURCE_DIR) + "/configs/scitldr.yaml");
  std::set<std::string> trained;
  for (const StrategySection& strategy : config.strategies) {
    for (const double target : strategy.targets) {
      const std::string folder = adapter_folder(config, strategy, target);
      EXPECT_EQ(folder.empty(), strategy.label == "full" || strategy.label.ends_with("untrained"))
          << strategy.label;
      if (folder.empty()) continue;
      trained.insert(folder);
      EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(SKIPBENCH_SOURCE_DIR) / folder /
                                          "adapter_model.safetensors"))
          << folder;
    }
  }
  EXPECT_EQ(trained.size(), 7u);  // the whole model, and three strategies at 2x and 3x
}

TEST(Config, DemoModelAsItStands) {
  const std::string path = std::string(SKIPBENCH_SOURCE_DIR) + "/configs/smollm2.yaml";
  const SweepConfig config = load_sweep_config(path);
  EXPECT_EQ(config.name, "smollm2");
  EXPECT_EQ(config.model.dtype, DType::kF32);
  ASSERT_EQ(config.datasets.size(), 1u);
  const DatasetSection& dataset = config.datasets[0];
  EXPECT_EQ(dataset.limit, 100);
  EXPECT_EQ(dataset.prompt,
            "Translate the following sentence from German to English.\n{source}\nEnglish:");
  EXPECT_EQ(dataset.stop, std::vector<std::string>{"\n"});
  EXPECT_EQ(dataset.metrics.at(0).name, "bleu");
  EXPECT_EQ(dataset.metrics.at(0).options.at("tokenize"), "13a");
  EXPECT_EQ(dataset.post, (std::vector<std::string>{"response", "first_line", "strip"}));
  EXPECT_EQ(dataset.calibration.limit, 32);
  ASSERT_EQ(config.strategies.size(), 3u);
  EXPECT_EQ(config.strategies[0].targets, std::vector<double>{1});
  EXPECT_EQ(config.strategies[2].params.at("min_layer").text, "4");
  EXPECT_EQ(config.strategies[2].targets, (std::vector<double>{2, 3, 5}));
  EXPECT_EQ(config.batch_sizes, (std::vector<int64_t>{1, 8}));
  EXPECT_EQ(config.timing.new_tokens, 32);
  EXPECT_EQ(config.timing.prompts, 8);
}

struct WrongCase {
  const char* name;
  const char* from;  // text of the fixture's configuration
  const char* to;
  std::vector<std::string> says;  // parts of the message; {0} is the file
};

class WrongConfig : public testing::TestWithParam<WrongCase> {};

TEST_P(WrongConfig, SaysWhere) {
  const SweepFolder folder;
  std::string text = folder.config_text();
  const size_t at = text.find(GetParam().from);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, std::string(GetParam().from).size(), GetParam().to);
  const std::string path = folder.write_config(text);
  try {
    prepare_sweep(load_sweep_config(path));
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const std::string& part : GetParam().says) {
      const std::string expected = part.starts_with(":") ? path + part : part;
      EXPECT_NE(message.find(expected), std::string::npos) << expected << "\n" << message;
    }
  }
}

const WrongCase kWrong[] = {
    {"top_key", "targets:", "target:", {":15: target", "unknown key", "(nearest first): targets"}},
    {"nested_key",
     "    limit: 7",
     "    limits: 7",
     {":7: datasets[0].limits", "(nearest first): limit"}},
    {"flow_key",
     "max_new_tokens: 9",
     "max_tokens: 9",
     {":10: decoding.max_tokens", "(nearest first): max_new_tokens"}},
    {"strategy", "  - unified", "  - unifed", {":13", "unknown strategy 'unifed'", "unified"}},
    {"strategy_parameter", "min_layer: 1", "min_layers: 1", {":14", "min_layer"}},
    {"parameter_range", "min_layer: 1", "min_layer: 99", {":14", "min_layer"}},
    {"metric",
     "metrics: [{bleu: {tokenize: 13a}}, rouge]",
     "metrics: [blue]",
     {":9: datasets[0].metrics[0]", "bleu"}},
    {"metric_setting", "tokenize: 13a", "tokenise: 13a", {":9", "tokenize"}},
    {"metric_value", "tokenize: 13a", "tokenize: 14a", {":9", "14a", "13a"}},
    {"no_metrics",
     "metrics: [{bleu: {tokenize: 13a}}, rouge]",
     "metrics: []",
     {":9: datasets[0].metrics", "at least one"}},
    {"number", "limit: 7", "limit: seven", {":7: datasets[0].limit", "a whole number", "'seven'"}},
    {"fraction", "limit: 7", "limit: 7.5", {":7: datasets[0].limit", "a whole number"}},
    {"negative", "limit: 7", "limit: -7", {":7: datasets[0].limit", "from 0"}},
    {"nan_target", "targets: [1.5, 3]", "targets: [.nan]", {":15: targets[0]", "a number"}},
    {"list_for_text", "name: tiny", "name: [tiny]", {":1: name", "one text", "a list"}},
    {"section_for_text", "limit: 7", "limit: {a: 1}", {":7: datasets[0].limit"}},
    {"text_for_section", "decoding: {max_new_tokens: 9}", "decoding: 9", {":10: decoding"}},
    {"missing", "name: tiny", "device: cpu", {"required key 'name' is missing"}},
    {"twice",
     "targets: [1.5, 3]",
     "targets: [1.5, 3]\ntargets: [2]",
     {":16: targets", "given twice"}},
    {"syntax", "targets: [1.5, 3]", "targets: [1.5, 3", {"not valid YAML"}},
    {"dtype", "threads: 2", "dtype: f64", {":2: model.dtype", "f32"}},
    {"brace", "Say: {source}", "Say: {source", {":8: datasets[0].prompt", "brace"}},
    {"field", "Say: {source}", "Say: {sauce}", {":8: datasets[0].prompt", "sauce", "source"}},
    {"post", "    limit: 7", "    limit: 7\n    post: [stripp]", {":8", "stripp", "strip"}},
    {"chat", "    limit: 7", "    limit: 7\n    chat_template: chatlm", {":8", "chatml"}},
    {"too_many", "limit: 7", "limit: 13", {":4", "13", "12"}},
    {"no_file", "test.de", "test.fr", {":5: datasets[0].source", "test.fr", "No such file"}},
    {"no_reference", "test.en", "test.fr", {":6: datasets[0].reference", "No such file"}},
    {"other_length",
     "test.en",
     "tokenizer.json",
     {":6: datasets[0].reference", "differ in their number of lines"}},
    {"no_calibration_file",
     "    limit: 7",
     "    limit: 7\n    calibration:\n      source: nowhere.de",
     {":9: datasets[0].calibration.source", "nowhere.de"}},
    {"metric_of_a_model",
     "metrics: [{bleu: {tokenize: 13a}}, rouge]",
     "metrics: [{kl: {prefixes: a}}]",
     {":9", "prefix"}},
    {"both_kinds", "    limit: 7", "    tsv: x.tsv", {":7: datasets[0].tsv", "source and tsv"}},
    {"timed_prompts", "prompts: 3", "prompts: 4", {":17: timing.prompts", "multiple"}},
    {"too_few_to_time", "prompts: 3", "prompts: 9", {":17: timing.prompts", "at most 7"}},
    {"no_calibration", "    limit: 7", "    limit: 0", {"no examples left to calibrate"}},
    {"device", "name: tiny", "name: tiny\ndevice: abacus", {"abacus"}},
    {"context", "max_new_tokens: 9", "max_new_tokens: 300", {":4", "context", "256"}},
    {"variable",
     "results: ",
     "results: ${SKIPBENCH_NOWHERE}",
     {":18: results", "SKIPBENCH_NOWHERE", "not set"}},
    {"same_target", "targets: [1.5, 3]", "targets: [3, 3]", {":13", "the same cell"}},
    {"same_batch", "batch_sizes: [1, 3]", "batch_sizes: [3, 3]", {":12", "the same cell"}},
    {"other_label",
     "  - unified",
     "  - unified\n  - {name: unified, label: other}",
     {":14", "the same cell"}},
    {"same_strategy", "  - unified", "  - unified\n  - unified", {":14", "given twice", "label"}},
};

INSTANTIATE_TEST_SUITE_P(Each, WrongConfig, testing::ValuesIn(kWrong),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(Config, AListOfLayersHasTheTargetThatItWasChosenFor) {
  const SweepFolder folder;
  const auto strategies = [&](const std::string& keys) {
    return load_sweep_config(folder.path("sweep.yaml"),
                             std::vector<std::string>{
                                 "strategies=[{name: layers, params: {layers: 0-2}" + keys + "}]"})
        .strategies;
  };
  EXPECT_EQ(strategies("")[0].targets, std::vector<double>{1});
  EXPECT_EQ(strategies(", targets: [2]")[0].targets, std::vector<double>{2});
  EXPECT_NE(message_of([&] { strategies(", targets: [2, 3]"); }).find("the one target"),
            std::string::npos);
}

TEST(Config, ALabelIsNoOtherStrategysName) {
  const SweepFolder folder;
  const auto load = [&](const std::string& label) {
    load_sweep_config(folder.path("sweep.yaml"),
                      std::vector<std::string>{"strategies=[{name: unified, label: " + label +
                                               ", targets: [2]}]"});
  };
  load("unified");
  load("fuller");
  EXPECT_NE(message_of([&] { load("full"); }).find("'full' cannot be the label of 'unified'"),
            std::string::npos);
}

TEST(Config, WhatHardlyMeansAnythingIsWarnedOf) {
  const SweepFolder folder;
  EXPECT_TRUE(folder.setup().warnings.empty());
  const std::string full = "strategies=[full]", prompt = "datasets.de-en.prompt=hello";
  const auto warnings = folder.setup({full, prompt}).warnings;
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("dataset 'de-en': all 7 prompts are the same"), std::string::npos)
      << warnings[0];
  // 14 layers, 10 of them kept: the authors' rule leaves out 4 in a row, an even spacing no two.
  nlohmann::json model = nlohmann::json::parse(std::ifstream(folder.path("model.json")));
  model["num_hidden_layers"] = 14;
  folder.write("model.json", model.dump());
  const auto spaced = folder.setup({"strategies=[unified]", "targets=[1.4, 2]"}).warnings;
  ASSERT_EQ(spaced.size(), 1u);
  EXPECT_NE(spaced[0].find("unified 1.4x leaves out 4 layers in a row"), std::string::npos)
      << spaced[0];
  EXPECT_TRUE(
      folder.setup({"strategies=[{name: unified, params: {spacing: even}}]", "targets=[1.4]"})
          .warnings.empty());
}

TEST(Config, OneLabelMayHaveOtherParametersAtOtherTargets) {
  const SweepFolder folder;
  const std::vector<std::string> apart = {
      "strategies=[{name: early_exit, label: exit, targets: [2], params: {min_layer: 2}}, "
      "{name: early_exit, label: exit, targets: [3], params: {min_layer: 1}}]"};
  const SweepConfig config = load_sweep_config(folder.path("sweep.yaml"), apart);
  ASSERT_EQ(config.strategies.size(), 2u);
  EXPECT_EQ(config.strategies[0].label, config.strategies[1].label);
  const std::vector<std::string> overlapping = {
      "strategies=[{name: unified, label: a, targets: [2, 3]}, "
      "{name: fixed_exit, label: a, targets: [3]}]"};
  EXPECT_THROW(load_sweep_config(folder.path("sweep.yaml"), overlapping), Error);
}

std::string error_of(const SweepFolder& folder, const std::vector<std::string>& overrides) {
  try {
    load_sweep_config(folder.path("sweep.yaml"), overrides);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Config, OverridesReachEveryKey) {
  const SweepFolder folder;
  const std::vector<std::string> overrides = {"targets=[2]",
                                              "datasets.de-en.limit=5",
                                              "datasets.0.stop=['a','b']",
                                              "strategies.2.params.min_layer=2",
                                              "timing.repetitions=7",
                                              "device=cpu",
                                              "decoding={max_new_tokens: 3}"};
  const SweepConfig config = load_sweep_config(folder.path("sweep.yaml"), overrides);
  EXPECT_EQ(config.strategies[1].targets, std::vector<double>{2});
  EXPECT_EQ(config.datasets[0].limit, 5);
  EXPECT_EQ(config.datasets[0].stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.strategies[2].params.at("min_layer").text, "2");
  EXPECT_EQ(config.timing.repetitions, 7);
  EXPECT_EQ(config.max_new_tokens, 3);
  EXPECT_EQ(config.name, "tiny");
}

TEST(Config, WrongOverridesNameTheOption) {
  const SweepFolder folder;
  EXPECT_TRUE(error_of(folder, {"datasets.de-en.limit=x"}).starts_with("--set datasets[0].limit"));
  // As messages write it, and a strategy that is a bare name.
  EXPECT_TRUE(error_of(folder, {"datasets[0].limit=x"}).starts_with("--set datasets[0].limit"));
  EXPECT_EQ(folder.setup({"strategies.unified.params.spacing=even"})
                .config.strategies[1]
                .params.at("spacing")
                .text,
            "even");
  // Nothing after the value, and no second document, is left out in silence.
  EXPECT_NE(error_of(folder, {"targets=[2, 3] junk"}).find("--set targets"), std::string::npos);
  folder.write_config(folder.config_text() + "---\ntargets: 7\n");
  EXPECT_NE(error_of(folder, {}).find("more than one YAML document"), std::string::npos);
  folder.write_config(folder.config_text());
  EXPECT_TRUE(error_of(folder, {"tagets=2"}).starts_with("--set tagets: unknown key 'tagets'"));
  EXPECT_NE(error_of(folder, {"datasets.en-de.limit=1"}).find("de-en"), std::string::npos);
  EXPECT_NE(error_of(folder, {"targets"}).find("KEY=VALUE"), std::string::npos);
  EXPECT_NE(error_of(folder, {"name.x=1"}).find("no keys below"), std::string::npos);
  EXPECT_NE(error_of(folder, {"targets=[1"}).find("not valid YAML"), std::string::npos);
}

// YAML::LoadAll makes documents of nothing for ever where one begins with a comma.
TEST(Config, ACommaOutsideAListEnds) {
  const SweepFolder folder;
  for (const std::string text : {",", "{name: a}, {name: b}", "a: 1\n---\n,", "\uFEFF,"}) {
    folder.write_config(text);
    EXPECT_NE(error_of(folder, {}).find("YAML"), std::string::npos) << error_of(folder, {});
  }
  folder.write_config("\n{name: a}, {name: b}");
  EXPECT_EQ(error_of(folder, {}),
            folder.path("sweep.yaml") + ":2: not valid YAML: a comma outside a list");
  folder.write_config(folder.config_text());
  EXPECT_NE(error_of(folder, {"targets=,"}).find("--set targets=,:1: not valid YAML: a comma"),
            std::string::npos)
      << error_of(folder, {"targets=,"});
}

TEST(Config, AnOverrideWithoutAValueIsNotTheDefault) {
  const SweepFolder folder;
  EXPECT_NE(error_of(folder, {"model.dtype="}).find("no value; expected"), std::string::npos);
  EXPECT_NE(error_of(folder, {"model.dtype= #f16"}).find("got a comment"), std::string::npos);
  EXPECT_EQ(error_of(folder, {"decoding.max_new_tokens=null"}), "no error");
}

TEST(Config, TextIsUtf8) {
  const SweepFolder folder;
  folder.write_config(folder.config_text() + "# \xff\n");
  EXPECT_EQ(error_of(folder, {}),
            folder.path("sweep.yaml") + ":19: not valid UTF-8; got byte 0xff");
  folder.write_config(folder.config_text());
  EXPECT_NE(error_of(folder, {"name=\xff"}).find("not valid UTF-8"), std::string::npos);
  setenv("SKIPBENCH_TEST_BYTES", "/tmp/\xff", 1);
  EXPECT_NE(
      error_of(folder, {"results=${SKIPBENCH_TEST_BYTES}"}).find("--set results: environment"),
      std::string::npos);
}

TEST(Config, WhatDoesNotEndIsRefused) {
  const SweepFolder folder;
  const auto refused = [&](const std::string& text, const std::string& says) {
    folder.write_config(text);
    EXPECT_NE(error_of(folder, {}).find(says), std::string::npos) << error_of(folder, {});
  };
  folder.write("base.yaml", folder.config_text());
  const std::string include = "include: base.yaml\n";
  refused(include + "name: &a {b: *a}\n", ":2: an alias inside what it stands for");
  refused(include + "name: &a [[*a]]\n", "an alias inside what it stands for");
  std::string bomb = "a0: &a0 {x: 1, y: 2}\n";
  for (int i = 1; i <= 40; ++i) {
    bomb += fmt::format("a{0}: &a{0} {{x: *a{1}, y: *a{1}}}\n", i, i - 1);
  }
  refused(include + bomb, "more than 100000 values");
  refused(include + "name: " + std::string(100, '[') + std::string(100, ']'), "nested deeper");
  std::string deep = "a0: &a0 {x: 1}\n";
  for (int i = 1; i <= 70; ++i) deep += fmt::format("a{0}: &a{0} {{x: *a{1}}}\n", i, i - 1);
  refused(deep, "nested deeper");
  refused("name: '" + std::string(5 << 20, 'x') + "'", "file too large");
}

TEST(Config, PathsTakeTheEnvironmentAndTheConfigsFolder) {
  const SweepFolder folder;
  setenv("SKIPBENCH_TEST_DATA", folder.path("").c_str(), 1);
  const SweepConfig config =
      load_sweep_config(folder.path("sweep.yaml"),
                        std::vector<std::string>{"datasets.0.source=${SKIPBENCH_TEST_DATA}test.de",
                                                 "datasets.0.reference=[test.en, test.en]",
                                                 "model.path='synthetic:model.json:5'"});
  EXPECT_EQ(config.datasets[0].files.source, folder.path("test.de"));
  EXPECT_EQ(config.datasets[0].files.references,
            std::vector<std::string>(2, folder.path("test.en")));
  EXPECT_EQ(config.model.path, "synthetic:" + folder.path("model.json") + ":5");
}

TEST(Config, StrategiesOfOneNameAreToldApart) {
  const SweepFolder folder;
  const SweepConfig config = load_sweep_config(
      folder.path("sweep.yaml"),
      std::vector<std::string>{
          "strategies=[full, unified, {name: unified, params: {spacing: even}, targets: [2]}]"});
  EXPECT_EQ(config.strategies[1].label, "unified");
  EXPECT_EQ(config.strategies[2].label, "unified (spacing=even)");
  EXPECT_EQ(config.strategies[2].targets, std::vector<double>{2});
}

TEST(Config, TheManualListsEveryKey) {
  std::ifstream file(std::string(SKIPBENCH_SOURCE_DIR) + "/docs/file-formats.md");
  const std::string manual(std::istreambuf_iterator<char>(file), {});
  EXPECT_NE(manual.find(config_keys_markdown()), std::string::npos)
      << "docs/file-formats.md should hold this table:\n"
      << config_keys_markdown();
}

}  // namespace
}  // namespace skipbench
