// ROUGE against rouge_score 0.1.2, and its bit-parallel LCS against the plain table.
#include "eval/metrics/rouge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/base/error.h"
#include "eval/metrics/lcs.h"
#include "eval/metrics/registry.h"
#include "tests/metrics/test_data.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;
using Tokens = std::vector<uint32_t>;

constexpr const char* kJsonNames[kRougeTypes] = {"rouge1", "rouge2", "rougeL", "rougeLsum"};

struct PlainLcs {
  int64_t length;
  std::vector<bool> used;
};

// The table and the backtracking as in the textbook and rouge_score.
PlainLcs plain_lcs(const Tokens& rows, const Tokens& columns) {
  std::vector<std::vector<int64_t>> table(rows.size() + 1,
                                          std::vector<int64_t>(columns.size() + 1, 0));
  for (size_t i = 1; i <= rows.size(); ++i) {
    for (size_t j = 1; j <= columns.size(); ++j) {
      table[i][j] = rows[i - 1] == columns[j - 1] ? table[i - 1][j - 1] + 1
                                                  : std::max(table[i - 1][j], table[i][j - 1]);
    }
  }
  PlainLcs lcs{table[rows.size()][columns.size()], std::vector<bool>(rows.size(), false)};
  size_t i = rows.size(), j = columns.size();
  while (i > 0 && j > 0) {
    if (rows[i - 1] == columns[j - 1]) {
      lcs.used[i - 1] = true;
      --i, --j;
    } else if (table[i][j - 1] > table[i - 1][j]) {
      --j;
    } else {
      --i;
    }
  }
  return lcs;
}

TEST(Lcs, EqualsThePlainTable) {
  std::mt19937 random(7);
  LcsFinder finder;
  const size_t sizes[] = {0, 1, 2, 31, 63, 64, 65, 127, 128, 130, 200};
  for (const uint32_t n_ids : {1u, 2u, 3u, 20u, 500u}) {
    for (const size_t n_rows : sizes) {
      for (const size_t n_columns : sizes) {
        Tokens rows(n_rows), columns(n_columns);
        for (uint32_t& id : rows) id = random() % n_ids;
        for (uint32_t& id : columns) id = random() % n_ids;
        const PlainLcs want = plain_lcs(rows, columns);
        ASSERT_EQ(finder.length(rows, columns, n_ids), want.length);
        std::vector<bool> used(n_rows, false);
        finder.mark(rows, columns, n_ids, &used);
        ASSERT_EQ(used, want.used) << n_ids << " ids, " << n_rows << " x " << n_columns;
      }
    }
  }
}

void expect_values(const std::array<RougeValue, kRougeTypes>& got, const Json& want) {
  for (int type = 0; type < kRougeTypes; ++type) {
    const Json& row = want.is_array() ? want[type] : want[kJsonNames[type]];
    EXPECT_NEAR(got[type].precision, row[0].get<double>(), kScoreTolerance) << kRougeNames[type];
    EXPECT_NEAR(got[type].recall, row[1].get<double>(), kScoreTolerance) << kRougeNames[type];
    EXPECT_NEAR(got[type].f_measure, row[2].get<double>(), kScoreTolerance) << kRougeNames[type];
  }
}

TEST(Rouge, EqualsRougeScoreOnMadeUpText) {
  for (const Json& entry : metric_fixtures()["rouge"]) {
    SCOPED_TRACE(entry.dump().substr(0, 200));
    const std::string hypothesis = entry["hypothesis"];
    const auto references = entry["references"].get<std::vector<std::string>>();
    expect_values(rouge_values({entry["stemmer"]}, hypothesis, references), entry["values"]);
  }
}

struct Example {
  std::string hypothesis;
  std::vector<std::string> references;
};

// The examples behind one entry of rouge_small.json.gz, named by its `system`.
std::vector<Example> examples_of(const std::string& system) {
  std::vector<Example> examples;
  if (system.starts_with("dialogsum/")) {
    const auto outputs =
        read_test_lines(shared_data("summ/dialogsum/baseline-bart.test_output.txt.gz"));
    const auto rows = read_test_jsonl(shared_data("summ/dialogsum/test.jsonl.gz"));
    for (size_t i = 0; i < rows.size(); ++i) {
      Example example{.hypothesis = i < outputs.size() ? outputs[i] : ""};
      for (const char* field : {"summary1", "summary2", "summary3"}) {
        if (system.ends_with(field) || system.ends_with("3 references")) {
          example.references.push_back(rows[i][field]);
        }
      }
      examples.push_back(std::move(example));
    }
  } else if (system.starts_with("scitldr/")) {
    for (const Json& row : read_test_jsonl(shared_data("summ/scitldr-a/test.jsonl.gz"))) {
      const auto source = row["source"].get<std::vector<std::string>>();
      Example example{.references = row["target"].get<std::vector<std::string>>()};
      if (system.ends_with("first TLDR")) example.references.resize(1);
      if (system.starts_with("scitldr/first")) example.hypothesis = source.front();
      if (system.starts_with("scitldr/last")) example.hypothesis = source.back();
      if (system.starts_with("scitldr/abstract")) {
        for (const std::string& sentence : source) {
          example.hypothesis += (example.hypothesis.empty() ? "" : "\n") + sentence;
        }
      }
      examples.push_back(std::move(example));
    }
  } else if (system.starts_with("aeslc/")) {
    for (const Json& row : read_test_jsonl(shared_data("summ/aeslc/test.jsonl.gz"))) {
      examples.push_back({row["ann0"], {row["subject"]}});
    }
  } else {
    const std::string name = system.substr(9, system.find(' ') - 9);  // summeval/NAME vs ...
    for (const Json& row : read_test_jsonl(shared_data("evaluation-only/summeval/data.jsonl.gz"))) {
      Example example{.hypothesis = row["sys_summs"][name]["sys_summ"]};
      if (system.ends_with("11 references")) {
        example.references = row["ref_summs"].get<std::vector<std::string>>();
      } else {
        example.references = {row["ref_summ"]};
      }
      examples.push_back(std::move(example));
    }
  }
  return examples;
}

TEST(Rouge, EqualsRougeScoreOnSharedOutputs) {
  if (!have_shared_data()) GTEST_SKIP() << "../shared/data is not there";
  int compared = 0;
  const Json data = read_test_json(shared_data("scores/rouge_small.json.gz"));
  for (const Json& entry : data["entries"]) {
    if (!is_compared(compared++)) continue;
    const std::string system = entry["system"];
    const bool stemmer = entry["use_stemmer"];
    SCOPED_TRACE(system + (stemmer ? " stemmed" : ""));
    const std::vector<Example> examples = examples_of(system);
    ASSERT_EQ(examples.size(), entry["n"].get<size_t>());
    std::vector<std::string> hypotheses;
    std::vector<std::vector<std::string>> references;
    for (size_t i = 0; i < examples.size(); ++i) {
      if (i < entry["first_examples_prf"].size()) {
        SCOPED_TRACE(i);
        expect_values(rouge_values({stemmer}, examples[i].hypothesis, examples[i].references),
                      entry["first_examples_prf"][i]);
        if (HasFailure()) return;
      }
      hypotheses.push_back(examples[i].hypothesis);
      references.push_back(examples[i].references);
    }
    const auto scores = corpus_scores(*make_rouge(RougeSettings{stemmer}), hypotheses, references);
    for (int type = 0; type < kRougeTypes; ++type) {
      const Json& mean = entry["mean"][kJsonNames[type]];
      EXPECT_NEAR(*scores[type].precision, 100 * mean[0].get<double>(), 100 * kScoreTolerance);
      EXPECT_NEAR(*scores[type].recall, 100 * mean[1].get<double>(), 100 * kScoreTolerance);
      EXPECT_NEAR(scores[type].score, 100 * mean[2].get<double>(), 100 * kScoreTolerance);
    }
  }
  EXPECT_EQ(compared, 82);
}

TEST(Rouge, EqualsRougeScoreOnSmallFiles) {
  if (!have_shared_data()) GTEST_SKIP() << "../shared/data is not there";
  const Json small = read_test_json(shared_data("tests-small/small_scores.json"));
  for (const Json& entry : small["rouge"]) {
    const auto rows =
        read_test_jsonl(shared_data("tests-small/" + entry["file"].get<std::string>()));
    for (size_t i = 0; i < rows.size(); ++i) {
      SCOPED_TRACE(entry["file"].get<std::string>() + " " + std::to_string(i));
      auto references = rows[i]["references"].get<std::vector<std::string>>();
      if (!entry["multi_ref"].get<bool>()) references.resize(1);
      const std::string output = rows[i]["output"];
      expect_values(rouge_values({entry["use_stemmer"]}, output, references),
                    entry["examples_prf"][i]);
    }
  }
  for (const Json& want : small["edge_scores"]) {
    const std::string hypothesis = want["hyp"];
    const std::vector<std::string> reference = {want["ref"]};
    const auto values = rouge_values({true}, hypothesis, reference);
    for (int type = 0; type < kRougeTypes; ++type) {
      EXPECT_NEAR(values[type].f_measure, want["rouge_stem_f"][type].get<double>(),
                  kScoreTolerance);
    }
  }
}

TEST(Rouge, SettingsByName) {
  const auto metric = make_metric("rouge", {{"stemmer", "true"}});
  EXPECT_EQ(format_signature(full_signature(*metric, 1)),
            "nrefs:1|stem:porter|split:newline|agg:mean|version:skipbench-0.1.0");
  EXPECT_THROW(make_metric("rouge", {{"stem", "true"}}), Error);
}

}  // namespace
}  // namespace skipbench
