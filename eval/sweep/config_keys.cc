#include "eval/sweep/config_keys.h"

#include <fmt/format.h>

#include <array>

namespace skipbench {
namespace {

using enum KeyType;

constexpr double kBig = 1e9;

constexpr std::array kKeys = {
    ConfigKey{"include", kPathList, "", 0, 0, "",
              "configurations to start from, relative to this one; what stands here goes before"},
    ConfigKey{"name", kText, kRequired, 0, 0, "", "name of the experiment"},
    ConfigKey{"results", kPath, kRequired, 0, 0, "", "results file (SQLite); made when missing"},
    ConfigKey{"device", kText, "cpu", 0, 0, "", "cpu, or cuda where it is built"},
    ConfigKey{"seed", kInteger, "0", 0, kBig, "",
              "seed of strategies that have one and of a synthetic model without its own"},

    ConfigKey{"model", kSection, kRequired, 0, 0, "", "the model"},
    ConfigKey{"model.path", kPath, kRequired, 0, 0, "",
              "Hugging Face folder, GGUF file, or synthetic:CONFIG.json[:seed]"},
    ConfigKey{"model.dtype", kText, "f32", 0, 0, "f32|f16|bf16", "type of activations and cache"},
    ConfigKey{"model.tokenizer", kPath, "", 0, 0, "", "tokenizer file or folder; the model's own"},
    ConfigKey{"model.adapter", kPath, "", 0, 0, "",
              "LoRA folder of every strategy but full; {strategy} is its label, {target} a number, "
              "{seed} the strategy's"},
    ConfigKey{"model.threads", kInteger, "0", 0, 1024, "", "CPU threads; 0: the machine's cores"},

    ConfigKey{"datasets", kSections, kRequired, 0, 0, "", "what is decoded and scored"},
    ConfigKey{"datasets[].name", kText, kRequired, 0, 0, "", "name in the table"},
    ConfigKey{"datasets[].task", kText, "translation", 0, 0, "translation|summarization|other",
              "decides the defaults of `post`"},
    ConfigKey{
        "datasets[].language", kText, "", 0, 0, "",
        "of the references (zh) or a pair (en-zh); default: seen from them. Chinese, "
        "Japanese, Thai, Lao, Khmer and Burmese without blanks between words are refused with "
        "BLEU's tokenizer 13a unless `tokenize` names it"},
    ConfigKey{"datasets[].source", kPath, "", 0, 0, "", "text file, one input per line (or .gz)"},
    ConfigKey{"datasets[].reference", kPathList, "", 0, 0, "",
              "text files aligned with `source`, one per reference"},
    ConfigKey{"datasets[].jsonl", kPath, "", 0, 0, "", "JSON lines instead of text files"},
    ConfigKey{"datasets[].tsv", kPath, "", 0, 0, "",
              "columns with tabs between them instead of text files; the first line names them, "
              "unless `source_field` and `reference_fields` are numbers"},
    ConfigKey{"datasets[].source_field", kText, "source", 0, 0, "",
              "JSON field or column that {source} stands for"},
    ConfigKey{"datasets[].reference_fields", kTextList, "reference", 0, 0, "",
              "JSON fields or columns of references; a list in a field gives several"},
    ConfigKey{"datasets[].limit", kInteger, "0", 0, kBig, "",
              "examples evaluated, from the first; 0: all (and then `calibration` names others)"},
    ConfigKey{
        "datasets[].prompt", kText, "{source}", 0, 0, "",
        "template: {source}, {instruction}, {input} (= {source}) or any field of JSON or TSV"},
    ConfigKey{"datasets[].instruction", kText, "", 0, 0, "", "text of {instruction}"},
    ConfigKey{"datasets[].chat_template", kText, "", 0, 0, "",
              "chat template around the prompt: a name, or `model` for the model's own"},
    ConfigKey{"datasets[].system", kText, "", 0, 0, "", "system message of the chat template"},
    ConfigKey{"datasets[].add_special", kText, "false", 0, 0, "true|false",
              "add the tokenizer's own BOS and EOS to a prompt"},
    ConfigKey{"datasets[].stop", kTextList, "", 0, 0, "",
              "texts that end an output, left out of it"},
    ConfigKey{"datasets[].post", kTextList, "", 0, 0, "",
              "steps after decoding: response, first_line, strip; default for translation: all "
              "three, else response and strip"},
    ConfigKey{"datasets[].metrics", kMetrics, kRequired, 0, 0, "",
              "[{bleu: {tokenize: 13a}}, {rouge: {stemmer: true}}, {perplexity: {prefix: ' '}}, "
              "kl, top1]"},
    ConfigKey{"datasets[].calibration", kSection, "", 0, 0, "",
              "examples for thresholds; default: the lines after `limit`, at most 32"},
    ConfigKey{"datasets[].calibration.source", kPath, "", 0, 0, "", "text file of its own"},
    ConfigKey{"datasets[].calibration.reference", kPathList, "", 0, 0, "",
              "its references (not scored; may be left out)"},
    ConfigKey{"datasets[].calibration.jsonl", kPath, "", 0, 0, "", "JSON lines of its own"},
    ConfigKey{"datasets[].calibration.tsv", kPath, "", 0, 0, "", "columns of its own"},
    ConfigKey{"datasets[].calibration.limit", kInteger, "32", 1, kBig, "", "examples used"},

    ConfigKey{"decoding", kSection, "", 0, 0, "", "how outputs are made"},
    ConfigKey{"decoding.max_new_tokens", kInteger, "64", 1, 1 << 20, "", "longest output"},
    ConfigKey{"decoding.beams", kInteger, "1", 1, 64, "",
              "1: no beam search; more: of strategies whose layers do not depend on the text"},
    ConfigKey{"decoding.length_penalty", kNumber, "1", -100, 100, "",
              "of beam search: a text's score is its log-probability over length^this"},
    ConfigKey{"decoding.early_stopping", kText, "false", 0, 0, "false|true|never",
              "of beam search, as Hugging Face's generate()"},
    ConfigKey{"decoding.no_repeat_ngram", kInteger, "0", 0, 1 << 20, "",
              "of beam search: n-grams of this length come once in prompt and text; 0: any"},
    ConfigKey{
        "decoding.temperature", kNumber, "0", 0, 100, "",
        "0: greedy; from 0.01 on tokens are drawn, by `seed`, from softmax(logits / temperature)"},
    ConfigKey{"decoding.top_k", kInteger, "0", 0, kBig, "",
              "how many of the most probable tokens may be drawn; 0: all"},

    ConfigKey{"plugins", kPathList, "", 0, 0, "", "shared libraries, each with a strategy"},
    ConfigKey{"strategies", kSections, kRequired, 0, 0, "",
              "names, or {name, params, targets, label}"},
    ConfigKey{"strategies[].name", kText, kRequired, 0, 0, "", "a name of `skipbench strategies`"},
    ConfigKey{"strategies[].label", kText, "", 0, 0, "", "name in the table"},
    ConfigKey{"strategies[].params", kSettings, "", 0, 0, "", "the strategy's parameters"},
    ConfigKey{"strategies[].targets", kNumberList, "", 0, 0, "", "instead of the common `targets`"},
    ConfigKey{"strategies[].seeds", kInteger, "1", 1, 1000, "",
              "of a strategy with a `seed`: so many seeds from its first on, one row of the table"},
    ConfigKey{"strategies[].adapter", kPath, "", 0, 0, "",
              "instead of the model's `adapter`; none: the model itself"},
    ConfigKey{"strategies[].adapters", kPathList, "", 0, 0, "",
              "instead of `adapter`: one for each training run (seed), one row of the table"},
    ConfigKey{"targets", kNumberList, "", 0, 0, "", "asked-for speedups, 1 to half the layers"},

    ConfigKey{"defaults", kSection, "", 0, 0, "", "what items of lists take over"},
    ConfigKey{"defaults.datasets", kDefaults, "", 0, 0, "",
              "keys of every data set that does not give them itself"},
    ConfigKey{"defaults.strategies", kDefaults, "", 0, 0, "", "likewise of every strategy"},

    ConfigKey{"matrix", kSection, "", 0, 0, "",
              "axes beside datasets, strategies, targets and batch_sizes: the sweep runs once for "
              "each combination"},
    ConfigKey{"matrix.models", kPathList, "", 0, 0, "", "instead of model.path"},
    ConfigKey{"matrix.adapters", kPathList, "", 0, 0, "",
              "instead of model.adapter; none: the model itself"},
    ConfigKey{"matrix.devices", kTextList, "", 0, 0, "", "instead of device"},
    ConfigKey{"matrix.dtypes", kTextList, "", 0, 0, "f32|f16|bf16", "instead of model.dtype"},
    ConfigKey{"matrix.beams", kIntegerList, "", 1, 64, "", "instead of decoding.beams"},
    ConfigKey{"matrix.seeds", kIntegerList, "", 0, kBig, "", "instead of seed"},
    ConfigKey{"exclude", kSections, "", 0, 0, "",
              "cells to leave out: those that have one of the values of every key of a rule"},
    ConfigKey{"exclude[].strategy", kTextList, "", 0, 0, "", "labels of strategies"},
    ConfigKey{"exclude[].target", kNumberList, "", 0, 0, "", "targets"},
    ConfigKey{"exclude[].dataset", kTextList, "", 0, 0, "", "names of data sets"},
    ConfigKey{"exclude[].batch_size", kIntegerList, "", 1, 65536, "",
              "batch sizes (of timed cells; quality has none)"},
    ConfigKey{"exclude[].model", kPathList, "", 0, 0, "", "paths of models"},
    ConfigKey{"exclude[].adapter", kPathList, "", 0, 0, "", "the model's adapter, as written"},
    ConfigKey{"exclude[].device", kTextList, "", 0, 0, "", "devices"},
    ConfigKey{"exclude[].dtype", kTextList, "", 0, 0, "f32|f16|bf16", "types"},
    ConfigKey{"exclude[].beams", kIntegerList, "", 1, 64, "", "numbers of beams"},
    ConfigKey{"exclude[].seed", kIntegerList, "", 0, kBig, "", "seeds"},

    ConfigKey{"batch_sizes", kIntegerList, "1", 1, 65536, "", "prompts decoded together"},
    ConfigKey{"timing", kSection, "", 0, 0, "", "how speed is measured"},
    ConfigKey{"timing.repetitions", kInteger, "3", 0, 10000, "", "0: no timing"},
    ConfigKey{"timing.warmup", kInteger, "1", 0, 1000, "", "untimed rounds at the measured shape"},
    ConfigKey{"timing.new_tokens", kInteger, "32", 2, 1 << 20, "", "forced output length"},
    ConfigKey{"timing.prompts", kInteger, "0", 0, 1 << 20, "",
              "prompts timed, a multiple of every batch size; 0: the largest batch size"},
};

std::string_view type_name(KeyType type) {
  switch (type) {
    case kText:
      return "text";
    case kPath:
      return "path";
    case kInteger:
      return "integer";
    case kNumber:
      return "number";
    case kTextList:
      return "text or list";
    case kPathList:
      return "path or list";
    case kIntegerList:
      return "integer or list";
    case kNumberList:
      return "number or list";
    case kSettings:
      return "settings";
    case kSection:
      return "section";
    case kSections:
      return "list of sections";
    case kMetrics:
      return "list of metrics";
    case kDefaults:
      return "section";
  }
  return "";
}

}  // namespace

std::span<const ConfigKey> config_keys() { return kKeys; }

const ConfigKey* find_config_key(std::string_view path) {
  for (const ConfigKey& key : kKeys) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

std::vector<std::string> child_names(std::string_view path) {
  const std::string prefix = path.empty() ? "" : std::string(path) + ".";
  std::vector<std::string> names;
  for (const ConfigKey& key : kKeys) {
    if (!key.path.starts_with(prefix)) continue;
    const std::string_view rest = key.path.substr(prefix.size());
    if (rest.find('.') == std::string_view::npos) names.emplace_back(rest);
  }
  return names;
}

std::string config_keys_markdown() {
  std::string table = "| key | type | default | meaning |\n|---|---|---|---|\n";
  for (const ConfigKey& key : kKeys) {
    std::string help(key.help);
    if (!key.choices.empty()) help += fmt::format(" ({})", key.choices);
    size_t bar = 0;
    while ((bar = help.find('|', bar)) != std::string::npos) help.replace(bar, 1, ", ");
    table +=
        fmt::format("| `{}` | {} | {} | {} |\n", key.path, type_name(key.type),
                    key.default_text.empty() ? "" : fmt::format("`{}`", key.default_text), help);
  }
  return table;
}

}  // namespace skipbench
