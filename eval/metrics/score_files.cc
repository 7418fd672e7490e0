#include "eval/metrics/score_files.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace skipbench {
namespace {

// A whole file, decompressed if it is gzip.
std::string read_file(const std::string& path) {
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) {
    throw Error({.what = fmt::format("cannot open file: {}", std::strerror(errno)), .where = path});
  }
  std::string text, chunk(1 << 16, '\0');
  int bytes = 0;
  while ((bytes = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()))) > 0) {
    text.append(chunk, 0, bytes);
  }
  int status = Z_OK;
  const char* message = gzerror(file.get(), &status);
  if (status == Z_ERRNO) message = std::strerror(errno);
  if (bytes < 0 || status != Z_OK) {  // a truncated gzip file reads as Z_BUF_ERROR
    throw Error({.what = fmt::format("cannot read file: {}", message), .where = path});
  }
  return text;
}

std::vector<std::string> read_lines(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    if (const size_t bad = find_invalid_utf8(lines.back()); bad != std::string::npos) {
      throw Error({.what = "not valid UTF-8",
                   .where = fmt::format("{}:{}", path, lines.size()),
                   .got = fmt::format("byte 0x{:02x} at column {} of the line",
                                      static_cast<unsigned char>(lines.back()[bad]), bad + 1)});
    }
    begin = end + 1;
  }
  return lines;
}

// The references of every segment, from one file per reference.
std::vector<std::vector<std::string>> read_references(const ScoreFilesRequest& request,
                                                      size_t n_segments) {
  if (request.references.empty())
    throw Error({.what = "no reference file given", .where = "--reference"});
  std::vector<std::vector<std::string>> references(n_segments);
  for (const std::string& path : request.references) {
    std::vector<std::string> lines = read_lines(path);
    if (lines.size() != n_segments) {
      throw Error({.what = "reference and hypothesis differ in their number of lines",
                   .where = path,
                   .expected = fmt::format("{} lines as in {}", n_segments, request.hypothesis),
                   .got = fmt::format("{} lines", lines.size())});
    }
    for (size_t i = 0; i < n_segments; ++i) references[i].push_back(std::move(lines[i]));
  }
  return references;
}

// 13a leaves Chinese and Japanese sentences whole, which makes BLEU meaningless.
void check_language(const ScoreFilesRequest& request, const Metric& metric) {
  if (request.force || (request.language != "zh" && request.language != "ja")) return;
  for (const auto& [key, value] : metric.settings()) {
    if (key != "tok" || value != "13a") continue;
    throw Error({.what = "tokenizer 13a does not split text in language " + request.language,
                 .where = "--tokenize",
                 .expected = request.language == "zh" ? "zh or char" : "char",
                 .got = value,
                 .hint = "--force scores it all the same"});
  }
}

double rounded(double value, std::optional<int> digits) {
  if (!digits) return value;
  return std::strtod(fmt::format("{:.{}f}", value, *digits).c_str(), nullptr);
}

nlohmann::ordered_json score_json(const Score& score, const Signature& signature,
                                  std::optional<int> digits) {
  nlohmann::ordered_json object;
  object["name"] = score.name;
  object["score"] = rounded(score.score, digits);
  if (score.precision) object["precision"] = rounded(*score.precision, digits);
  if (score.recall) object["recall"] = rounded(*score.recall, digits);
  object["signature"] = format_signature(signature);
  if (!score.verbose.empty()) object["verbose_score"] = score.verbose;
  for (const auto& [key, value] : signature) object[key] = value;
  return object;
}

}  // namespace

std::string score_files(const ScoreFilesRequest& request) {
  const std::unique_ptr<Metric> metric =
      make_metric(request.metric, request.options, "--metric " + request.metric);
  check_language(request, *metric);
  const std::vector<std::string> hypotheses = read_lines(request.hypothesis);
  const auto references = read_references(request, hypotheses.size());
  if (hypotheses.empty()) {
    throw Error({.what = "the file has no lines to score", .where = request.hypothesis});
  }

  const SegmentStats stats = segment_statistics(*metric, hypotheses, references);
  const Signature signature = full_signature(*metric, stats.n_references);
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Score& score : metric->scores(stats.sum())) {
    list.push_back(score_json(score, signature, request.digits));
  }
  return list.dump(1);
}

}  // namespace skipbench
