// Where a configuration says that examples come from.
#include <gtest/gtest.h>

#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

std::string refusal(const std::string& from, const std::string& to) {
  const SweepFolder folder;
  std::string text = folder.config_text();
  text.replace(text.find(from), from.size(), to);
  const std::string path = folder.write_config(text);
  const std::string message =
      message_of([&] { load_sweep_config(path, std::vector<std::string>{}); });
  return message.starts_with(path) ? message.substr(path.size()) : message;
}

TEST(ConfigData, FilesOfReferencesStandBesideSourceAlone) {
  for (const auto& [kind, parts] : {std::pair("tsv", "columns"), {"jsonl", "fields"}}) {
    const std::string key = kind, own = "`reference_fields`: the references are ";
    EXPECT_EQ(refusal("source:", key + ":"),
              ":6: datasets[0].reference: a file of references beside `" + key + "`; expected " +
                  own + parts + " of `" + key + "`");
    EXPECT_EQ(refusal("    limit: 7",
                      "    calibration:\n      " + key + ": test.de\n      reference: test.en")
                  .find(":9: datasets[0].calibration.reference: a file of references beside `" +
                        key + "`"),
              0u);
  }
  EXPECT_EQ(refusal("    limit: 7", "    calibration:\n      reference: test.en")
                .find(":8: datasets[0].calibration.reference: data comes from text files"),
            0u);
}

}  // namespace
}  // namespace skipbench
