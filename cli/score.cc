// skipbench score: BLEU, chrF, TER and ROUGE of text files, with intervals and paired tests.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "engine/base/error.h"
#include "eval/metrics/score_files.h"

namespace skipbench {
namespace {

// What the command line says, before it is sorted by metric.
struct ScoreArguments {
  ScoreFilesRequest request;
  std::vector<std::string> metrics = {"bleu"};
  std::map<std::string, MetricOptions> options;  // "bleu", "chrf" (chrf++ too), "ter", "rouge"
  std::vector<std::string> external;
  double external_timeout = 3600;
  std::string format = "json";
  int digits = 0;
};

// Adds a flag whose value goes to `metric` under `key`.
void add_setting(CLI::App* command, ScoreArguments* arguments, const std::string& flag,
                 const std::string& metric, const std::string& key, const std::string& help) {
  command->add_option_function<std::string>(
      flag,
      [arguments, metric, key](const std::string& value) {
        arguments->options[metric][key] = value;
      },
      help);
}

void add_switch(CLI::App* command, ScoreArguments* arguments, const std::string& flag,
                const std::string& metric, const std::string& key, const std::string& help) {
  command->add_flag_callback(
      flag, [arguments, metric, key] { arguments->options[metric][key] = "true"; }, help);
}

std::string metric_help() {
  std::string help;
  for (const MetricEntry& metric : metric_table()) {
    help += fmt::format("{}{}: {}", help.empty() ? "" : "; ", metric.name, metric.summary);
  }
  return help;
}

void add_bleu_settings(CLI::App* command, ScoreArguments* arguments) {
  add_setting(command, arguments, "--tokenize", "bleu", "tokenize",
              "BLEU tokenizer: 13a (default), zh, intl, char, none, flores200, flores101, spm");
  add_setting(command, arguments, "--spm-model", "bleu", "spm_model",
              "sentencepiece model of flores200, flores101 or spm");
  add_switch(command, arguments, "--lowercase", "bleu", "lowercase", "BLEU without case");
  add_setting(command, arguments, "--smooth", "bleu", "smooth",
              "BLEU smoothing: exp (default), floor, add-k, none");
  add_setting(command, arguments, "--smooth-value", "bleu", "smooth_value",
              "value for floor (default 0.1) or add-k (default 1)");
  add_switch(command, arguments, "--effective-order", "bleu", "effective_order",
             "BLEU over the n-gram orders that occur (always at sentence level)");
  add_setting(command, arguments, "--max-ngram-order", "bleu", "max_ngram_order",
              "longest n-grams of BLEU (default 4)");
}

void add_other_settings(CLI::App* command, ScoreArguments* arguments) {
  add_setting(command, arguments, "--chrf-char-order", "chrf", "char_order",
              "longest character n-grams (default 6)");
  add_setting(command, arguments, "--chrf-word-order", "chrf", "word_order",
              "longest word n-grams (default 0; chrf++: 2)");
  add_setting(command, arguments, "--chrf-beta", "chrf", "beta",
              "weight of recall against precision (default 2)");
  add_switch(command, arguments, "--chrf-lowercase", "chrf", "lowercase", "chrF without case");
  add_switch(command, arguments, "--chrf-whitespace", "chrf", "whitespace",
             "white space counts as characters");
  add_switch(command, arguments, "--chrf-eps-smoothing", "chrf", "eps_smoothing",
             "smoothing of chrF++.py, NLTK and Moses");
  add_switch(command, arguments, "--ter-normalized", "ter", "normalized",
             "split punctuation off before TER");
  add_switch(command, arguments, "--ter-no-punct", "ter", "no_punct", "TER without punctuation");
  add_switch(command, arguments, "--ter-asian-support", "ter", "asian_support",
             "the two above reach Chinese and Japanese characters");
  add_switch(command, arguments, "--ter-case-sensitive", "ter", "case_sensitive", "TER with case");
  add_switch(command, arguments, "--stemmer", "rouge", "stemmer", "ROUGE on Porter stems");
}

void add_significance(CLI::App* command, ScoreFilesRequest* request) {
  command->add_flag("--confidence,--ci", request->confidence,
                    "bootstrap interval (95 %) of every score");
  CLI::Option* bootstrap = command->add_flag_callback(
      "--paired-bs,--pbs", [request] { request->paired = PairedTest::kBootstrap; },
      "paired bootstrap of every file against the first");
  command
      ->add_flag_callback(
          "--paired-ar,--par", [request] { request->paired = PairedTest::kRandomisation; },
          "paired approximate randomisation of every file against the first")
      ->excludes(bootstrap);
  command->add_option("--resamples", request->significance.resamples, "bootstrap resamples")
      ->check(whole_number(1, 10'000'000))
      ->capture_default_str();
  command->add_option("--trials", request->significance.trials, "randomisation trials")
      ->check(whole_number(1, 10'000'000))
      ->capture_default_str();
  command->add_option("--seed", request->significance.seed, "seed of the resamples and trials")
      ->check(whole_number(0, std::numeric_limits<int64_t>::max()))
      ->capture_default_str();
}

// chrF's settings serve chrf++ too.
std::string settings_family(const std::string& metric) {
  return metric == "chrf++" ? "chrf" : metric;
}

// Gives every metric its settings; settings of a metric that is not asked for are refused.
void sort_settings(ScoreArguments* arguments) {
  arguments->request.metrics.clear();
  for (const std::string& name : arguments->metrics) {
    arguments->request.metrics.push_back({name, arguments->options[settings_family(name)]});
  }
  for (const auto& [metric, options] : arguments->options) {
    const bool used =
        std::any_of(arguments->metrics.begin(), arguments->metrics.end(),
                    [&](const std::string& name) { return settings_family(name) == metric; });
    if (used || options.empty()) continue;
    throw Error({.what = "a setting of " + metric + " without that metric",
                 .where = "--metric",
                 .got = fmt::format("{}", fmt::join(arguments->metrics, ", ")),
                 .hint = "drop the setting or add the metric"});
  }
}

}  // namespace

void add_score(CLI::App& app) {
  CLI::App* command = app.add_subcommand("score", "BLEU, chrF, TER and ROUGE of text files");
  const auto arguments = std::make_shared<ScoreArguments>();
  ScoreFilesRequest* request = &arguments->request;

  add_list(*command, "-m,--metric", arguments->metrics, metric_help())->capture_default_str();
  command
      ->add_option("-r,--reference", request->references,
                   "reference file, one segment per line (plain or gzip); repeat it for more")
      ->required()
      ->allow_extra_args(false);
  command
      ->add_option(
          "-i,--hypothesis", request->hypotheses,
          "files to score, one may be - (standard input); the first is the baseline of the "
          "others")
      ->required();
  add_bleu_settings(command, arguments.get());
  add_other_settings(command, arguments.get());
  add_significance(command, request);
  command->add_option("--source", request->source, "source file for external metrics");
  command
      ->add_option("--external", arguments->external,
                   "command of a metric of your own (docs/external-metrics.md); repeatable")
      ->allow_extra_args(false);
  command
      ->add_option("--external-timeout", arguments->external_timeout, "seconds for such a command")
      ->check(positive_number())
      ->capture_default_str();
  command->add_flag("--sentence-level,--sl", request->sentence_level, "one score a line");
  command->add_option(
      "-l,--language", request->language,
      "language of the files (zh, zh_CN) or pair (en-zh), default: seen from the "
      "references; Chinese, Japanese, Thai, Lao, Khmer and Burmese are refused with "
      "tokenizer 13a, unless blanks stand between the words");
  command->add_flag("--force", request->force,
                    "score even if the tokenizer does not fit, as with --tokenize written out");
  command->add_option("-f,--format", arguments->format, "json, text or latex")
      ->capture_default_str();
  const CLI::Option* width =
      command
          ->add_option("-w,--width", arguments->digits,
                       "digits after the point (default: JSON unrounded, the rest 1)")
          ->check(whole_number(0, 17));
  command->footer(
      "Examples:\n  skipbench score --metric bleu --tokenize 13a --reference ref.en "
      "--hypothesis out.en -w 2\n"
      "  skipbench score -m bleu,chrf -r ref.en -i full.en unified.en --paired-bs -f text");
  command->callback([arguments, width] {
    if (width->count() > 0) arguments->request.digits = arguments->digits;
    arguments->request.format = parse_score_format(arguments->format, "--format");
    sort_settings(arguments.get());
    for (const std::string& program : arguments->external) {
      arguments->request.external.push_back({program, arguments->external_timeout});
    }
    arguments->request.warn = [](const std::string& warning) {
      std::cerr << "warning: " << warning << '\n';
    };
    std::cout << score_files(arguments->request) << '\n';
  });
}

}  // namespace skipbench
