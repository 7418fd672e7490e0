#include "datasets/postprocess.h"

#include <algorithm>
#include <array>

#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace skipbench {
namespace {

std::string take_response(std::string text) {
  constexpr std::string_view kMarker = "### Response:";
  const size_t marker = text.find(kMarker);
  if (marker == std::string::npos) return text;
  return std::string(strip(std::string_view(text).substr(marker + kMarker.size())));
}

std::string take_first_line(std::string text) { return text.substr(0, text.find('\n')); }

std::string take_stripped(std::string text) { return std::string(strip(text)); }

constexpr std::array kSteps = {
    PostprocessStep{"response", "what follows '### Response:', where it is there", take_response},
    PostprocessStep{"first_line", "text before the first line break", take_first_line},
    PostprocessStep{"strip", "without white space around it", take_stripped},
};

std::string valid_utf8(std::string text) {
  if (find_invalid_utf8(text) == std::string::npos) return text;
  std::string valid;
  for (size_t i = 0; i < text.size();) append_utf8(next_code_point(text, &i), &valid);
  return valid;
}

}  // namespace

size_t find_stop(std::string_view text, std::span<const std::string> stops) {
  size_t first = std::string_view::npos;
  for (const std::string& stop : stops) {
    if (!stop.empty()) first = std::min(first, text.find(stop));
  }
  return first;
}

std::span<const PostprocessStep> postprocess_table() { return kSteps; }

const PostprocessStep& find_postprocess_step(std::string_view name, const std::string& where) {
  std::vector<std::string> known;
  for (const PostprocessStep& step : kSteps) {
    if (step.name == name) return step;
    known.emplace_back(step.name);
  }
  throw unknown_name("post-processing step", name, known, where);
}

std::string postprocess(std::string text, std::span<const std::string> stops,
                        std::span<const std::string> steps) {
  if (const size_t stop = find_stop(text, stops); stop != std::string::npos) text.resize(stop);
  text = valid_utf8(std::move(text));
  for (const std::string& step : steps) {
    text = find_postprocess_step(step, "post").apply(std::move(text));
  }
  return text;
}

}  // namespace skipbench
