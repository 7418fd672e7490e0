// skipbench score: BLEU or ROUGE of text files.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "eval/metrics/score_files.h"

namespace skipbench {
namespace {

// Adds a flag whose value goes to the metric under `key`.
void add_setting(CLI::App* command, ScoreFilesRequest* request, const std::string& flag,
                 const std::string& key, const std::string& help) {
  command->add_option_function<std::string>(
      flag, [request, key](const std::string& value) { request->options[key] = value; }, help);
}

void add_switch(CLI::App* command, ScoreFilesRequest* request, const std::string& flag,
                const std::string& key, const std::string& help) {
  command->add_flag_callback(
      flag, [request, key] { request->options[key] = "true"; }, help);
}

std::string metric_help() {
  std::string help;
  for (const MetricEntry& metric : metric_table()) {
    help += fmt::format("{}{}: {}", help.empty() ? "" : "; ", metric.name, metric.summary);
  }
  return help;
}

}  // namespace

void add_score(CLI::App& app) {
  CLI::App* command = app.add_subcommand("score", "BLEU or ROUGE of text files, as JSON");
  const auto request = std::make_shared<ScoreFilesRequest>();
  const auto digits = std::make_shared<int>(0);

  command->add_option("-m,--metric", request->metric, metric_help())->capture_default_str();
  command
      ->add_option("-r,--reference", request->references,
                   "reference file, one segment per line (plain or gzip); repeat it for more")
      ->required()
      ->allow_extra_args(false);
  command->add_option("-i,--hypothesis", request->hypothesis, "file to score")->required();
  add_setting(command, request.get(), "--tokenize", "tokenize",
              "BLEU tokenizer: 13a (default), zh, intl, char, none");
  add_switch(command, request.get(), "--lowercase", "lowercase", "BLEU without case");
  add_setting(command, request.get(), "--smooth", "smooth",
              "BLEU smoothing: exp (default), floor, add-k, none");
  add_setting(command, request.get(), "--smooth-value", "smooth_value",
              "value for floor (default 0.1) or add-k (default 1)");
  add_switch(command, request.get(), "--effective-order", "effective_order",
             "BLEU over the n-gram orders that occur (for single sentences)");
  add_setting(command, request.get(), "--max-ngram-order", "max_ngram_order",
              "longest n-grams of BLEU (default 4)");
  add_switch(command, request.get(), "--stemmer", "stemmer", "ROUGE on Porter stems");
  command->add_option("-l,--language", request->language,
                      "language of the files; zh and ja are refused with tokenizer 13a");
  command->add_flag("--force", request->force, "score even if the tokenizer does not fit");
  const CLI::Option* width =
      command->add_option("-w,--width", *digits, "digits after the point (default: unrounded)")
          ->check(CLI::Range(0, 17));
  command->footer(
      "Example:\n  skipbench score --metric bleu --tokenize 13a --reference ref.en "
      "--hypothesis out.en -w 2");
  command->callback([request, digits, width] {
    if (width->count() > 0) request->digits = *digits;
    std::cout << score_files(*request) << '\n';
  });
}

}  // namespace skipbench
