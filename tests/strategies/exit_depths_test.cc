// early_exit's `depths`: what is replayed, and what is refused with its place and range.
#include "strategies/exit_depths.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/base/error.h"
#include "strategies/exit_signal.h"

namespace skipbench {
namespace {

StrategySpec early_exit(StrategyParams params, double target = 2) {
  return {.name = "early_exit", .target = target, .params = std::move(params)};
}

std::string refusal_of(const StrategySpec& spec, int num_layers) {
  try {
    make_strategy(spec, num_layers);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

void expect_says(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " not in: " << message;
  }
}

class DepthsFile : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  std::string write(const std::string& text) const {
    std::ofstream(path_) << text;
    return path_;
  }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() /
                       (std::string("skipbench_depths_") +
                        testing::UnitTest::GetInstance()->current_test_info()->name() + ".json"))
                          .string();
};

TEST(ReplayedEntry, IsTheStepSevenFurtherForEachText) {
  EXPECT_EQ(replayed_entry(0, 0, 5), 0);
  EXPECT_EQ(replayed_entry(9, 0, 5), 4);
  EXPECT_EQ(replayed_entry(3, 2, 64), 17);
  EXPECT_EQ(replayed_entry(3, 2, 5), 2);
  EXPECT_EQ(replayed_entry(63, 2147483647, 64), (63 + 7LL * 2147483647) % 64);
}

// Texts read the list 7 entries apart: in one of 14 every second text would have the same exits.
TEST(ExitDepths, AMultipleOfTheStrideIsRefused) {
  const auto depths_of = [](int count) {
    std::string text = "3";
    for (int i = 1; i < count; ++i) text += ",4";
    return early_exit({{"depths", {text, "here"}}});
  };
  for (const int count : {7, 14, 70}) {
    expect_says(refusal_of(depths_of(count), 8),
                {"here", "7 does not divide", std::to_string(count), "leave one out"});
  }
  for (const int count : {1, 6, 8, 64}) {
    EXPECT_EQ(make_strategy(depths_of(count), 8)->rule()->depths.size(),
              static_cast<size_t>(count));
  }
}

TEST(ExitDepths, AListOfItsOwnNeedsNoThresholdAndTestsAllTheSame) {
  const StrategySpec spec = early_exit({{"depths", {"3, 8,5", "here"}}, {"min_layer", {"2", ""}}});
  EXPECT_FALSE(param_to_calibrate(spec, 8));
  const auto strategy = make_strategy(spec, 8);
  const SkipRule& rule = *strategy->rule();
  EXPECT_EQ(rule.depths, (std::vector<int32_t>{3, 8, 5}));
  EXPECT_EQ(rule.depths_from, "a list of its own");
  EXPECT_FALSE(rule.tests_after(0, 8));
  for (int layer = 1; layer < 7; ++layer) EXPECT_TRUE(rule.tests_after(layer, 8));
  EXPECT_FALSE(rule.tests_after(7, 8));
  // Whatever the confidence says. Step 1 of text 0 has entry 1, of text 1 entry 2.
  EXPECT_FALSE(rule.stops(2, 0, 0, 1.0));
  EXPECT_TRUE(rule.stops(3, 0, 0, 0.0));
  EXPECT_TRUE(rule.stops(4, 0, 0, 0.0));
  EXPECT_FALSE(rule.stops(7, 1, 0, 1.0));
  EXPECT_TRUE(rule.stops(5, 1, 1, 0.0));
  EXPECT_FALSE(rule.stops(4, 1, 1, 1.0));
}

TEST(ExitDepths, WithoutThemAThresholdIsCalibrated) {
  ASSERT_TRUE(param_to_calibrate(early_exit({}), 8));
  EXPECT_EQ(param_to_calibrate(early_exit({}), 8)->name, "threshold");
  EXPECT_FALSE(param_to_calibrate(early_exit({}, 1), 8));
  EXPECT_FALSE(param_to_calibrate(early_exit({{"threshold", {"0.5", ""}}}), 8));
}

TEST(ExitDepths, AThresholdBesideThemIsRefused) {
  for (const char* name : {"threshold", "decay_tau", "decay_length"}) {
    expect_says(
        refusal_of(early_exit({{"depths", {"3", "a.yaml:7"}}, {name, {"1", "a.yaml:9"}}}), 8),
        {name, "exclude each other", "a.yaml:9", "a.yaml:7"});
  }
}

TEST(ExitDepths, OutsideTheLayersIsRefusedWithTheRange) {
  const auto refusal = [](const char* list, const char* min_layer) {
    return refusal_of(early_exit({{"depths", {list, "a.yaml:7"}}, {"min_layer", {min_layer, ""}}}),
                      8);
  };
  expect_says(refusal("3,9", "1"), {"entry 1", "a.yaml:7", "[1, 8]", "got 9"});
  expect_says(refusal("0", "1"), {"entry 0", "[1, 8]", "got 0"});
  expect_says(refusal("5,4,3", "4"), {"entry 2", "[4, 8]", "got 3"});
  expect_says(refusal("5,4.5", "4"), {"entry 1", "4.5"});
  expect_says(refusal("-2", "1"), {"[1, 8]"});
  expect_says(refusal("[]", "1"), {"no entries", "1 to 65536"});
  expect_says(refusal("3,,4", "1"), {"a.yaml:7"});
  expect_says(refusal("no/such/file", "1"), {"cannot read", "a.yaml:7", "no/such/file"});
}

TEST_F(DepthsFile, GivesTheListOfTheTarget) {
  const std::string path = write(R"({"num_layers": 8, "commit": "abc", "lists": [
      {"target": 2, "depths": [4, 4, 3]}, {"target": 3.5, "depths": [2]}]})");
  const auto strategy = make_strategy(early_exit({{"depths", {path, "here"}}}), 8);
  EXPECT_EQ(strategy->rule()->depths, (std::vector<int32_t>{4, 4, 3}));
  EXPECT_EQ(strategy->rule()->depths_from, path);
  EXPECT_EQ(make_strategy(early_exit({{"depths", {path, "here"}}}, 3.5), 8)->rule()->depths,
            (std::vector<int32_t>{2}));
  expect_says(refusal_of(early_exit({{"depths", {path, "here"}}}, 3), 8),
              {"0 lists", "target 3", "[2, 3.5]", path, "here"});
  expect_says(refusal_of(early_exit({{"depths", {path, "here"}}, {"min_layer", {"4", ""}}}), 8),
              {"entry 2", "[4, 8]", path});
  expect_says(refusal_of(early_exit({{"depths", {path, "here"}}}), 30),
              {"another number of layers", "30 layers", "8 layers", "not scaled", path});
}

TEST_F(DepthsFile, OfAnotherFormIsRefused) {
  for (const char* text :
       {"", "[1,2]", "{}", R"({"num_layers": "8", "lists": []})", R"({"num_layers": 8})"}) {
    const std::string path = write(text);
    expect_says(refusal_of(early_exit({{"depths", {path, "here"}}}), 8),
                {"no list of exit depths", path, "num_layers"});
  }
  for (const char* list : {R"({"target": 2, "depths": [3, "4"]})", R"({"target": 2})",
                           R"({"depths": [3]})", R"({"target": 2, "depths": []})", "7",
                           R"({"target": 2, "depths": [3]}, {"target": 2, "depths": [4]})"}) {
    const std::string path = write(std::string(R"({"num_layers": 8, "lists": [)") + list + "]}");
    expect_says(refusal_of(early_exit({{"depths", {path, "here"}}}), 8), {path, "here"});
  }
}

// What scripts/gpu_check replays: real depths, on the budgets.
TEST(ExitDepths, OfTheMiniatureAreWithinOnePercentOfTheBudget) {
  const std::string path = std::string(SKIPBENCH_SOURCE_DIR) + "/configs/exit_depths.json";
  for (const auto& [target, min_layer] : {std::pair{2.0, "14"}, {5.0, "5"}}) {
    const auto strategy = make_strategy(
        early_exit({{"depths", {path, ""}}, {"min_layer", {min_layer, ""}}}, target), 30);
    double sum = 0;
    for (const int32_t depth : strategy->rule()->depths) sum += depth;
    const double budget = layer_budget(30, target);
    EXPECT_EQ(strategy->rule()->depths.size(), 64);
    EXPECT_NEAR(sum / 64, budget, 0.01 * budget);
  }
}

}  // namespace
}  // namespace skipbench
