// The axes of a sweep beside its lists, and the cells that it leaves out.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "eval/sweep/config.h"
#include "eval/sweep/yaml_section.h"

namespace skipbench {

// One value of one axis: the item of the matrix at `from` goes to key path `to`.
struct AxisValue {
  std::string axis;  // "dtype"
  std::string text;  // as written
  std::string from;  // "matrix.dtypes[1]"
  std::string to;    // "model.dtype"
  size_t index = 0;
};

// Every combination of the matrix's values, the last axis changing fastest; one without values
// where there is no matrix.
std::vector<std::vector<AxisValue>> matrix_points(const YamlDocument& document);

// Puts the values into the document, which was loaded afresh for them.
void apply_point(YamlDocument& document, const std::vector<AxisValue>& point);

// "dtype=f16, seed=2": the values of axes that have several.
std::string point_name(const std::vector<AxisValue>& point,
                       const std::vector<std::vector<AxisValue>>& all);

std::vector<ExcludeRule> read_exclude_rules(const YamlSection& root);

// Throws Error for a rule that names a strategy or data set that the configuration does not have.
void check_exclude_rules(const SweepConfig& config);

}  // namespace skipbench
