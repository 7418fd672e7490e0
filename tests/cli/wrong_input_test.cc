// Wrong usage: exit code 2, a message that says what and where, and nothing on stdout.
#include <gtest/gtest.h>

#include "tests/cli/run_skipbench.h"

namespace skipbench {
namespace {

struct Wrong {
  const char* name;
  std::vector<std::string> args;
  std::string input;
  std::vector<std::string> says;  // parts of the message
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.name; }

std::vector<std::string> generate(std::vector<std::string> more) {
  std::vector<std::string> args = {"generate", "--model", fixture("bloom-7layers"),
                                   "--input",  "-",       "--ids"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

class WrongInput : public testing::TestWithParam<Wrong> {};

TEST_P(WrongInput, EndsWithTwoAndSaysWhy) {
  const ProcessResult result = skipbench_with_input(GetParam().input, GetParam().args);
  EXPECT_EQ(result.exit_code, 2) << result.errors;
  EXPECT_EQ(result.output, "");
  for (const std::string& part : GetParam().says) {
    EXPECT_NE(result.errors.find(part), std::string::npos) << part << " not in: " << result.errors;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, WrongInput,
    testing::Values(
        Wrong{"no_command", {}, "", {"--help"}},
        Wrong{"unknown_command", {"genrate"}, "", {"genrate", "generate"}},
        Wrong{"unknown_option",
              {"plan", "--layers", "3", "--tarrget", "3"},
              "",
              {"--tarrget", "--help"}},
        Wrong{
            "unknown_strategy", generate({"--strategy", "unifid"}), "[1]\n", {"unifid", "unified"}},
        Wrong{"target_too_high",
              generate({"--strategy", "unified", "--target", "4"}),
              "[1]\n",
              {"--target", "[1, 3.5]", "got 4"}},
        Wrong{"exit_depths_beyond_the_layers",
              generate({"--strategy", "early_exit", "--target", "2", "--param", "depths=3,8"}),
              "[1]\n",
              {"--param depths=3,8", "[1, 7]", "got 8"}},
        Wrong{"exit_depths_and_threshold",
              generate({"--strategy", "early_exit", "--target", "2", "--param", "depths=3",
                        "--param", "threshold=0.5"}),
              "[1]\n",
              {"--param threshold=0.5", "--param depths=3", "exclude each other"}},
        Wrong{"exit_depths_of_another_model",
              generate({"--strategy", "early_exit", "--target", "2", "--param",
                        "depths=" SKIPBENCH_SOURCE_DIR "/configs/exit_depths.json"}),
              "[1]\n",
              {"configs/exit_depths.json", "30 layers", "7 layers"}},
        Wrong{"target_nan",
              generate({"--strategy", "unified", "--target", "nan"}),
              "[1]\n",
              {"--target"}},
        Wrong{"param_without_value",
              generate({"--strategy", "unified", "--param", "spacing"}),
              "[1]\n",
              {"KEY=VALUE"}},
        Wrong{"deep_json", generate({}), std::string(200000, '[') + "\n", {"nested too deep"}},
        Wrong{"param_twice",
              generate({"--strategy", "unified", "--param", "spacing=even", "--param",
                        "spacing=authors"}),
              "[1]\n",
              {"spacing", "twice"}},
        Wrong{"no_threshold",
              generate({"--strategy", "early_exit", "--target", "2"}),
              "[1]\n",
              {"threshold"}},
        Wrong{"batch_zero", generate({"--batch", "0"}), "[1]\n", {"--batch"}},
        Wrong{"threads_negative", generate({"--threads", "-1"}), "[1]\n", {"--threads"}},
        Wrong{"dtype", generate({"--dtype", "q8_0"}), "[1]\n", {"--dtype", "bf16"}},
        Wrong{"device", generate({"--device", "tpu"}), "[1]\n", {"--device", "cpu"}},
        Wrong{"id_outside",
              generate({"--batch", "2"}),
              "[1]\n[1, 5000]\n",
              {"-:2", "token 1", "5000"}},
        Wrong{"id_no_integer", generate({}), "[1.5]\n", {"-:1", "1.5"}},
        Wrong{"not_json", generate({}), "[1\n", {"-:1"}},
        Wrong{"empty_prompt", generate({}), "[]\n", {"-:1", "at least one token"}},
        Wrong{
            "missing_input",
            {"generate", "--model", fixture("bloom-7layers"), "--input", "/no/such/file", "--ids"},
            "",
            {"/no/such/file"}},
        Wrong{"missing_model", {"inspect", "/no/such/model"}, "", {"/no/such/model"}},
        Wrong{
            "demo_model_not_fetched", {"inspect", "/no/smollm2-135m"}, "", {"scripts/fetch_model"}},
        Wrong{"synthetic_without_config",
              {"inspect", "synthetic:/no/config.json"},
              "",
              {"/no/config.json"}},
        Wrong{"logprobs_without_continuation",
              {"logprobs", "--model", fixture("bloom-7layers"), "--input", "-"},
              "{\"prompt\":[1]}\n",
              {"-:1", "continuation"}},
        Wrong{"logprobs_of_a_number",
              {"logprobs", "--model", fixture("bloom-7layers"), "--input", "-"},
              "{\"prompt\":[1],\"continuation\":7}\n",
              {"-:1, continuation", "a text", "number"}},
        Wrong{"plan_without_layers", {"plan", "--layers", "0"}, "", {"--layers"}},
        Wrong{"bench_format",
              {"bench", "--model", fixture("bloom-7layers"), "-o", "xml"},
              "",
              {"xml", "md"}},
        Wrong{"probe_nothing", {"probe"}, "", {"--model and --input"}},
        Wrong{"probe_config_and_threads",
              {"probe", "configs/quickstart.yaml", "--threads", "1"},
              "",
              {"--threads", "--set model.threads=VALUE"}},
        Wrong{"probe_dataset_without_config",
              {"probe", "--model", fixture("bloom-7layers"), "--input", "-", "--dataset", "a"},
              "",
              {"--dataset", "none is given"}},
        Wrong{"probe_target_without_strategy",
              {"probe", "--model", fixture("bloom-7layers"), "--input", "-", "--target", "2"},
              "[1]\n",
              {"--target", "--strategy NAME", "got 2"}},
        Wrong{"probe_unknown_parameter",
              {"probe", "--model", fixture("bloom-7layers"), "--input", "-", "--strategy",
               "unified", "--target", "2", "--param", "spaceing=even"},
              "no token ids",
              {"--param spaceing=even", "spacing"}},
        Wrong{"probe_parameter_without_strategy",
              {"probe", "configs/quickstart.yaml", "--param", "spacing=even"},
              "",
              {"--param", "--strategy NAME", "got spacing=even"}},
        Wrong{"target_without_strategy",
              generate({"--target", "2"}),
              "[1]\n",
              {"--target", "--strategy NAME", "got 2"}},
        Wrong{"bench_targets_without_strategy",
              {"bench", "--model", fixture("bloom-7layers"), "--target", "2,3"},
              "",
              {"--target", "--strategy NAME", "got 2,3"}},
        Wrong{"seed_of_no_draws",
              generate({"--sampling-seed", "2"}),
              "[1]\n",
              {"--sampling-seed", "--temperature above 0", "got 2"}},
        Wrong{
            "tokenize_both_ways",
            {"tokenize", "--model", SKIPBENCH_SOURCE_DIR "/models/miniature", "--decode", "--json"},
            "",
            {"--json", "--decode"}},
        Wrong{"more_beams_than_continuations",
              {"generate", "--model", fixture("qwen3-bias-yarn"), "--ids", "-p", "[1]", "--beams",
               "32"},
              "",
              {"--beams", "at most 21 (43 tokens, 2 of them", "got 32"}},
        Wrong{"probe_score",
              {"probe", "--model", fixture("bloom-7layers"), "--input", "-", "--scores", "infl"},
              "[1]\n",
              {"infl", "block_influence"}},
        Wrong{"probe_no_text",
              {"probe", "--model", fixture("bloom-7layers"), "--input", "-"},
              "",
              {"two tokens"}},
        Wrong{"pruning_without_scores",
              generate({"--strategy", "static_pruning", "--target", "2", "--param",
                        "score=perplexity"}),
              "[1]\n",
              {"score=perplexity", "skipbench probe"}},
        Wrong{"history_of_another_json",
              {"history", fixture("qwen3") + "/config.json"},
              "",
              {"config.json", "not a row of `skipbench bench -o json`; got key '"}},
        Wrong{"no_published_numbers",
              {"table", "/no/such.db", "--layout", "paper", "--beside", "a",
               SKIPBENCH_SOURCE_DIR "/README.md"},
              "",
              {"README.md: not a file of published numbers", "got no JSON"}},
        Wrong{"no_database", {"table", "/no/such.db"}, "", {"/no/such.db"}},
        Wrong{"config_missing", {"validate", "/no/such.yaml"}, "", {"/no/such.yaml"}}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace skipbench
