#include "tests/eval/sweep_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "engine/base/error.h"
#include "engine/base/utf8.h"
#include "eval/report/render.h"
#include "tests/temp_folder.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

constexpr int kVocabulary = 257;  // the bytes and an end of text

constexpr char kModel[] = R"({
  "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 24,
  "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2,
  "intermediate_size": 40, "vocab_size": 257, "rms_norm_eps": 1e-5,
  "max_position_embeddings": 256, "rope_theta": 10000.0, "hidden_act": "silu",
  "tie_word_embeddings": true, "torch_dtype": "float32", "eos_token_id": 256
})";

constexpr char kConfig[] = R"(name: tiny
model: {{path: "synthetic:{0}/model.json:3", tokenizer: {0}/tokenizer.json, threads: 2}}
datasets:
  - name: de-en
    source: {0}/test.de
    reference: {0}/test.en
    limit: 7
    prompt: "Say: {{source}}\n"
    metrics: [{{bleu: {{tokenize: 13a}}}}, rouge]
decoding: {{max_new_tokens: 9}}
strategies:
  - full
  - unified
  - {{name: early_exit, params: {{min_layer: 1}}}}
targets: [1.5, 3]
batch_sizes: [1, 3]
timing: {{repetitions: 2, warmup: 1, new_tokens: 5, prompts: 3}}
results: {0}/default.db
)";

// GPT-2's printable stand-ins for bytes.
std::string byte_symbol(int byte) {
  const auto printable = [](int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  std::string text;
  append_utf8(static_cast<char32_t>(code), &text);
  return text;
}

std::string tokenizer_json() {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) vocabulary[byte_symbol(byte)] = byte;
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  const Json json = {
      {"version", "1.0"},
      {"added_tokens",
       {{{"id", kVocabulary - 1},
         {"content", "<|end|>"},
         {"special", true},
         {"single_word", false},
         {"lstrip", false},
         {"rstrip", false},
         {"normalized", false}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
  return json.dump();
}

}  // namespace

SweepFolder::SweepFolder() {
  folder_ = make_temp_folder("sweep");
  write("model.json", kModel);
  write("tokenizer.json", tokenizer_json());
  std::string source, reference;
  for (int i = 0; i < 12; ++i) {
    source += fmt::format("Satz {} mit {} Wörtern\n", i, std::string(i % 5 + 1, 'x'));
    reference += fmt::format("sentence {} of {} words, the end .\n", i, i % 5 + 1);
  }
  write("test.de", source);
  write("test.en", reference);
  write_config(config_text());
}

SweepFolder::~SweepFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void SweepFolder::write(const std::string& name, const std::string& text) const {
  std::ofstream(folder_ / name, std::ios::binary) << text;
}

void SweepFolder::resize_vocabulary(int size) const {
  Json model = Json::parse(kModel);
  model["vocab_size"] = size;
  write("model.json", model.dump());
}

std::string SweepFolder::config_text() const {
  return fmt::format(fmt::runtime(kConfig), folder_.string());
}

std::string SweepFolder::write_config(const std::string& text) const {
  write("sweep.yaml", text);
  return path("sweep.yaml");
}

SweepSetup SweepFolder::setup(const std::vector<std::string>& overrides) const {
  return prepare_sweep(load_sweep_config(path("sweep.yaml"), overrides));
}

SweepOutcome SweepFolder::run(const std::string& results, const std::vector<std::string>& overrides,
                              SweepOptions options) const {
  std::vector<std::string> all = overrides;
  all.push_back("results=" + path(results));
  return run_sweep(setup(all), options);
}

Json SweepFolder::rows(const std::string& results) const {
  ResultStore store(path(results), OpenMode::kReadOnly);
  return Json::parse(render_table(load_result_table(store), "json")).at("rows");
}

Json SweepFolder::untimed_rows(const std::string& results) const {
  Json all = rows(results);
  for (Json& row : all) {
    for (const char* key : {"total_tokens_per_second",
                            "decode_tokens_per_second",
                            "decode_spread",
                            "speedup",
                            "paired_speedup",
                            "paired_total_speedup",
                            "speedup_low",
                            "speedup_high",
                            "total_speedup",
                            "total_speedup_low",
                            "total_speedup_high",
                            "speedup_per_target",
                            "bound",
                            "first_token_ms",
                            "step_p50_ms",
                            "step_p90_ms",
                            "step_p95_ms",
                            "step_p99_ms",
                            "exit_test_share",
                            "natural_decode_tokens_per_second",
                            "natural_batch",
                            "peak_memory_mib",
                            "joules_per_token"}) {
      row.erase(key);
    }
  }
  return all;
}

int64_t count_in(const std::string& results, const std::string& sql) {
  Database database(results, OpenMode::kReadOnly);
  Statement statement(database, sql);
  statement.step();
  return statement.integer(0);
}

std::string text_in(const std::string& results, const std::string& sql) {
  Database database(results, OpenMode::kReadOnly);
  Statement statement(database, sql);
  statement.step();
  return statement.text(0);
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

int run_in_child(const std::function<int()>& work, int64_t kill_after_us, int signal) {
  const pid_t child = fork();
  if (child == 0) {
    int code = 99;
    try {
      code = work();
    } catch (const std::exception& error) {
      fmt::print(stderr, "child: {}\n", error.what());
    }
    _exit(code);
  }
  if (kill_after_us >= 0) {
    usleep(static_cast<useconds_t>(kill_after_us));
    kill(child, signal);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace skipbench
