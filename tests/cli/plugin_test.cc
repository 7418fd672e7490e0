// Strategies from shared libraries, and libraries that are none.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "strategies/plugin.h"
#include "tests/cli/run_skipbench.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

TEST(Plugin, IsAStrategyLikeAnyOther) {
  // The option stands before the command or after it.
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"--plugin", SKIPBENCH_EXAMPLE_PLUGIN, "plan", "--layers", "12",
                                 "--strategy", "every_other", "--target", "2"},
        {"plan", "--layers", "12", "--strategy", "every_other", "--target", "2", "--plugin",
         SKIPBENCH_EXAMPLE_PLUGIN}}) {
    const ProcessResult result = run_skipbench(args);
    ASSERT_EQ(result.exit_code, 0) << result.errors;
    EXPECT_EQ(Json::parse(result.output)["steps"][0], Json({0, 2, 4, 6, 8, 11}));
  }
  const Json list =
      Json::parse(run_skipbench({"strategies", "--plugin", SKIPBENCH_EXAMPLE_PLUGIN}).output);
  EXPECT_EQ(list.back()["name"], "every_other");
  EXPECT_TRUE(list.back().contains("plugin"));
  EXPECT_FALSE(list[0].contains("plugin"));
}

TEST(Plugin, DecodesAsItsPlanSays) {
  const ProcessResult result = skipbench_with_input(
      "[1,2,3]\n", {"generate", "--model", fixture("bloom-7layers"), "--input", "-", "--ids",
                    "--strategy", "every_other", "--target", "2", "--max-new-tokens", "3",
                    "--ignore-eos", "--plugin", SKIPBENCH_EXAMPLE_PLUGIN});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_EQ(json_lines(result.output)[0]["layers_per_token"], Json({7, 3, 3}));
}

TEST(Plugin, UnknownParametersAreTheHostsErrors) {
  const ProcessResult result =
      run_skipbench({"plan", "--layers", "12", "--strategy", "every_other", "--param", "x=1",
                     "--plugin", SKIPBENCH_EXAMPLE_PLUGIN});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.errors.find("takes no parameters"), std::string::npos) << result.errors;
}

struct Refused {
  std::string path;
  std::vector<std::string> says;
};

TEST(Plugin, WhatIsNoneIsRefusedByName) {
  const std::string text = testing::TempDir() + "not_a_library.so";
  std::ofstream(text) << "text";
  for (const Refused& refused : {
           Refused{"/nonexistent/x.so", {"/nonexistent/x.so", "No such file"}},
           Refused{text, {"not_a_library.so", "cannot load"}},
           Refused{SKIPBENCH_OTHER_ABI_PLUGIN, {"version 999", "version " + std::to_string(PluginAbi{}.version), "rebuild"}},
           Refused{SKIPBENCH_TAKEN_NAME_PLUGIN, {"'unified'", "built-in"}},
           Refused{SKIPBENCH_LIBRARY_OF_NO_PLUGIN, {"skipbench_plugin_abi"}},
       }) {
    const ProcessResult result = run_skipbench({"strategies", "--plugin", refused.path});
    EXPECT_EQ(result.exit_code, 2) << refused.path;
    EXPECT_EQ(result.output, "") << refused.path;
    for (const std::string& part : refused.says) {
      EXPECT_NE(result.errors.find(part), std::string::npos) << result.errors;
    }
  }
}

}  // namespace
}  // namespace skipbench
