// From a model's raw continuation to the text that is scored.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skipbench {

// The earliest place where one of `stops` begins, or npos. Empty stops are ignored.
size_t find_stop(std::string_view text, std::span<const std::string> stops);

struct PostprocessStep {
  std::string_view name;
  std::string_view help;
  std::string (*apply)(std::string text);
};

// response: what follows "### Response:" where that is there, as the authors of Unified Layer
// Skipping (arXiv 2404.06954) take their models' answers; first_line; strip (white space).
std::span<const PostprocessStep> postprocess_table();

// Throws Error naming `where` for an unknown step.
const PostprocessStep& find_postprocess_step(std::string_view name, const std::string& where);

// Cuts at the first stop, makes the text valid UTF-8 (U+FFFD for bad parts, so that what is scored,
// stored and exported is the same), then applies the steps in order.
std::string postprocess(std::string text, std::span<const std::string> stops,
                        std::span<const std::string> steps);

}  // namespace skipbench
