// The system outputs of WMT22 in ../shared, for tests against published and reference scores.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "eval/metrics/metric.h"
#include "tests/metrics/test_data.h"

namespace skipbench {

using References = std::vector<std::vector<std::string>>;

// [references][segments] -> [segments][references]
inline References by_segment(const std::vector<std::vector<std::string>>& streams) {
  References references(streams.at(0).size());
  for (const auto& stream : streams) {
    for (size_t i = 0; i < stream.size(); ++i) references.at(i).push_back(stream[i]);
  }
  return references;
}

// Our signature as sacreBLEU would print it.
inline std::string as_sacrebleu(const Metric& metric, int n_references) {
  Signature signature = full_signature(metric, n_references);
  EXPECT_EQ(signature.back().second, "skipbench-0.1.0");
  signature.back().second = "2.6.0";
  std::erase_if(signature, [](const auto& field) { return field.first == "order"; });
  return format_signature(signature);
}

// A system output with its reference files, read once per test program.
class Wmt22Test : public testing::Test {
 protected:
  void SetUp() override {
    if (!have_shared_data()) GTEST_SKIP() << "../shared/data is not there";
  }

  static const std::vector<std::string>& lines(const std::string& pair, const std::string& stem) {
    static std::map<std::string, std::vector<std::string>> cache;
    const std::string path = shared_data("mt/wmt22-systems/" + pair + "/" + stem + "." +
                                         pair.substr(pair.find('-') + 1) + ".gz");
    auto [it, missing] = cache.try_emplace(path);
    if (missing) it->second = read_test_lines(path);
    return it->second;
  }

  // refs: "A", "B", "B,A" in that order, or "all" for every reference of the pair.
  static References references(const std::string& pair, const std::string& refs) {
    std::vector<std::string> names = {refs};
    if (refs == "B,A") names = {"B", "A"};
    if (refs == "all" && pair == "en-cs") names = {"B", "C"};
    if (refs == "all" && pair != "en-cs") names = {"A", "B"};
    std::vector<std::vector<std::string>> streams;
    for (const std::string& name : names) streams.push_back(lines(pair, "ref." + name));
    return by_segment(streams);
  }
};

}  // namespace skipbench
