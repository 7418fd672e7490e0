#include "eval/metrics/external.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/base/error.h"
#include "engine/base/printable.h"
#include "engine/base/subprocess.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

constexpr size_t kShownErrorBytes = 2000;

class MeanOfSegments : public Metric {
 public:
  MeanOfSegments(std::string name, std::string signature, bool higher_is_better)
      : name_(std::move(name)),
        signature_(std::move(signature)),
        higher_is_better_(higher_is_better) {}

  int n_stats() const override { return 2; }
  bool higher_is_better() const override { return higher_is_better_; }
  void segment_stats(std::string_view, std::span<const std::string>,
                     std::span<double>) const override {
    throw Error({.what = "an external metric scores whole files only", .where = name_});
  }
  std::vector<Score> scores(std::span<const double> sums) const override {
    return {{.name = name_, .score = sums[1] > 0 ? sums[0] / sums[1] : 0.0}};
  }
  Signature settings() const override {
    Signature settings = {{"external", name_}};
    if (!signature_.empty()) settings.emplace_back("by", signature_);
    return settings;
  }

 private:
  std::string name_, signature_;
  bool higher_is_better_;
};

// The end of the program's own messages, which say most.
std::string shown_errors(const std::string& errors) {
  if (errors.empty()) return "it wrote nothing to stderr";
  if (errors.size() <= kShownErrorBytes) return "its stderr:\n" + errors;
  return "the end of its stderr:\n..." + errors.substr(errors.size() - kShownErrorBytes);
}

std::string requests(std::span<const std::string> sources, std::span<const std::string> hypotheses,
                     std::span<const std::vector<std::string>> references) {
  std::string lines;
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    Json line = {{"reference", references[i].at(0)},
                 {"references", references[i]},
                 {"hypothesis", hypotheses[i]}};
    if (!sources.empty()) line["source"] = sources[i];
    // Outputs of a model may hold bad bytes.
    lines += line.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
  }
  return lines;
}

void check_lengths(std::span<const std::string> sources, std::span<const std::string> hypotheses,
                   std::span<const std::vector<std::string>> references) {
  if (hypotheses.size() == references.size() &&
      (sources.empty() || sources.size() == hypotheses.size()) && !hypotheses.empty()) {
    return;
  }
  throw Error(
      {.what = "sources, hypotheses and references differ in number, or there are none",
       .got = fmt::format("{}, {} and {}", sources.size(), hypotheses.size(), references.size())});
}

// A name's columns and a signature are split at '|' and stand between backquotes; what turns the
// direction of writing would change what a reader sees of its neighbours.
bool is_plain(const std::string& text) {
  constexpr const char* kForbidden[] = {"|",      "`",      "\n",     "\t",     "\u2028",
                                        "\u2029", "\u202a", "\u202b", "\u202c", "\u202d",
                                        "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"};
  return printable(text) == text && std::ranges::none_of(kForbidden, [&](const char* part) {
           return text.find(part) != std::string::npos;
         });
}

bool is_blank(const std::string& text) { return text.find_first_not_of(' ') == std::string::npos; }

}  // namespace

int common_reference_count(std::span<const std::vector<std::string>> references) {
  for (const auto& list : references) {
    if (list.size() != references[0].size()) return 0;
  }
  return references.empty() ? 0 : static_cast<int>(references[0].size());
}

std::unique_ptr<Metric> make_external_metric(const std::string& name,
                                             const std::string& program_signature,
                                             bool higher_is_better) {
  return std::make_unique<MeanOfSegments>(name, program_signature, higher_is_better);
}

SegmentStats external_statistics(std::span<const double> scores, int n_references) {
  SegmentStats stats{.n_segments = std::ssize(scores), .n_stats = 2, .n_references = n_references};
  for (const double score : scores) stats.rows.insert(stats.rows.end(), {score, 1.0});
  return stats;
}

ExternalScores run_external_metric(const ExternalRequest& request,
                                   std::span<const std::string> sources,
                                   std::span<const std::string> hypotheses,
                                   std::span<const std::vector<std::string>> references) {
  check_lengths(sources, hypotheses, references);
  const std::string argv[] = {"/bin/sh", "-c", request.command};
  const ProcessResult result =
      run_process(argv, requests(sources, hypotheses, references), request.timeout_seconds);
  const auto refuse = [&](const std::string& what, const std::string& expected,
                          const std::string& got) -> Error {
    return Error({.what = "external metric: " + what,
                  .where = "`" + request.command + "`",
                  .expected = expected,
                  .got = got,
                  .hint = shown_errors(result.errors)});
  };
  if (result.timed_out) {
    throw refuse("the program took too long and was stopped",
                 fmt::format("an answer within {:g} s", request.timeout_seconds), "none");
  }
  if (result.exit_code != 0) {
    throw refuse("the program failed", "exit code 0", std::to_string(result.exit_code));
  }
  const Json answer = Json::parse(result.output, nullptr, false);
  const std::string form = "one JSON object with \"name\" and \"scores\"";
  if (!answer.is_object() || !answer.contains("name") || !answer["name"].is_string() ||
      !answer.contains("scores") || !answer["scores"].is_array()) {
    throw refuse("the answer has the wrong form", form, "'" + result.output.substr(0, 200) + "'");
  }
  const Json& scores = answer["scores"];
  if (scores.size() != hypotheses.size()) {
    throw refuse("wrong number of scores", fmt::format("{}", hypotheses.size()),
                 fmt::format("{}", scores.size()));
  }
  if (answer.contains("signature") && !answer["signature"].is_string()) {
    throw refuse("\"signature\" is no text", "a text, or no \"signature\"",
                 answer["signature"].dump());
  }
  if (answer.contains("higher_is_better") && !answer["higher_is_better"].is_boolean()) {
    throw refuse("\"higher_is_better\" is neither true nor false", "true, false or nothing (true)",
                 answer["higher_is_better"].dump());
  }
  const std::string name = answer["name"], signature = answer.value("signature", "");
  for (const auto& [key, value] : {std::pair("name", name), std::pair("signature", signature)}) {
    if (is_plain(value) && (value != name || !is_blank(value))) continue;
    throw refuse(fmt::format("\"{}\" cannot stand in a table", key),
                 "printable characters without '|' and '`', of a name not blanks alone",
                 "'" + value + "'");
  }
  std::vector<double> values;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!scores[i].is_number() || !std::isfinite(scores[i].get<double>())) {
      throw refuse(fmt::format("score {} is not a finite number", i), "a number", scores[i].dump());
    }
    values.push_back(scores[i].get<double>());
  }
  if (!std::isfinite(std::accumulate(values.begin(), values.end(), 0.0))) {
    throw refuse("the scores have no finite sum", "numbers whose mean is a number",
                 "scores up to " + fmt::format("{:g}", *std::ranges::max_element(values)));
  }
  const bool higher_is_better = answer.value("higher_is_better", true);
  return {.name = name,
          .program_signature = signature,
          .metric = make_external_metric(name, signature, higher_is_better),
          .stats = external_statistics(values, common_reference_count(references))};
}

}  // namespace skipbench
