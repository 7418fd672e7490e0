#include "strategies/exit_depths.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "strategies/exit_signal.h"
#include "strategies/params.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

// The JSON of one file, of which `target`'s list is wanted.
class DepthsFile {
 public:
  DepthsFile(const std::string& path, const std::string& where) : source_(where + ": " + path) {
    json_ = Json::parse(read_param_file(path, source_, "exit depths", "layers"), nullptr,
                        /*allow_exceptions=*/false);
    if (!json_.is_object() || !json_.contains("num_layers") ||
        !json_["num_layers"].is_number_integer() || !json_.contains("lists") ||
        !json_["lists"].is_array()) {
      throw refuse("no list of exit depths",
                   R"({"num_layers": N, "lists": [{"target": s, "depths": [...]}]}, as )"
                   "`skipbench export --to exit-depths` writes it");
    }
  }

  const std::string& source() const { return source_; }

  std::vector<double> list(double target, int num_layers) const {
    if (json_["num_layers"] != num_layers) {
      throw refuse("the exit depths are of another number of layers",
                   fmt::format("depths of a model with {} layers", num_layers),
                   json_["num_layers"].dump() + " layers; depths are not scaled");
    }
    const Json* found = nullptr;
    std::string targets;
    size_t count = 0;
    for (const Json& list : json_["lists"]) {
      if (!list.is_object() || !list.contains("target") || !list["target"].is_number()) {
        throw refuse("a list of exit depths without its target", R"("target": a number)");
      }
      targets += (targets.empty() ? "" : ", ") + list["target"].dump();
      if (list["target"].get<double>() != target) continue;
      found = &list;
      ++count;
    }
    if (count != 1) {
      throw refuse(fmt::format("{} lists of exit depths for target {}", count, target),
                   "one list, of a run at the same target",
                   "lists of the targets [" + targets + "]");
    }
    return numbers(*found);
  }

 private:
  std::vector<double> numbers(const Json& list) const {
    std::vector<double> values;
    const bool is_list = list.contains("depths") && list["depths"].is_array();
    for (const Json& value : is_list ? list["depths"] : Json::array()) {
      if (!value.is_number()) throw refuse("an exit depth is no number", "layers", value.dump());
      values.push_back(value.get<double>());
    }
    return values;
  }

  Error refuse(const std::string& what, const std::string& expected,
               const std::string& got = {}) const {
    return Error({.what = what, .where = source_, .expected = expected, .got = got});
  }

  std::string source_;
  Json json_;
};

}  // namespace

ExitDepths param_depths(const StrategySpec& spec, int num_layers, int min_layer) {
  const ParamValue& value = spec.params.at("depths");
  const bool is_list = value.text.find_first_not_of("0123456789.,+-eE[] ") == std::string::npos;
  ExitDepths found;
  std::string where = value.where;
  std::vector<double> depths;
  if (is_list) {
    depths = param_numbers(spec, "depths");
    found.from = "a list of its own";
  } else {
    const DepthsFile file(value.text, value.where);
    where = file.source();
    depths = file.list(spec.target, num_layers);
    found.from = value.text;
  }
  if (depths.empty() || depths.size() > kMostDepths) {
    throw Error({.what = "parameter 'depths' has no entries, or too many",
                 .where = where,
                 .expected = fmt::format("1 to {} depths", kMostDepths),
                 .got = std::to_string(depths.size()),
                 .hint = "`skipbench export --to exit-depths --steps N` writes N of them"});
  }
  if (depths.size() > 1 && depths.size() % kReplayStride == 0) {
    throw Error({.what = "parameter 'depths' would give several texts the same exits",
                 .where = where,
                 .expected = fmt::format("a number of entries that {0} does not divide: texts read "
                                         "the list {0} entries apart",
                                         kReplayStride),
                 .got = std::to_string(depths.size()),
                 .hint = "leave one out"});
  }
  for (size_t i = 0; i < depths.size(); ++i) {
    const double depth = depths[i];
    if (!(depth >= min_layer && depth <= num_layers && depth == std::floor(depth))) {
      throw Error({.what = fmt::format("entry {} of the exit depths is out of range", i),
                   .where = where,
                   .expected = fmt::format("whole layers in [{}, {}]: min_layer to all layers",
                                           min_layer, num_layers),
                   .got = fmt::format("{}", depth)});
    }
    found.depths.push_back(static_cast<int32_t>(depth));
  }
  return found;
}

}  // namespace skipbench
