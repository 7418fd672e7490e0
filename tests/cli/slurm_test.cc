// scripts/slurm/sweep.sbatch with local processes in the place of Slurm: a shard is killed, and
// another task finishes it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/cli/run_skipbench.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

class SlurmScript : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("skipbench_slurm_" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "bin");
    // KILL_WITH: once some batches stand in the results file's log, whatever the machine's speed.
    write_program("srun", R"sh([ "$1" = --ntasks=1 ] || exit 99
shift
if [ "${KILL_WITH:-}" = NOW ]; then kill -9 $$; fi
if [ -z "${KILL_WITH:-}" ]; then exec "$@"; fi
for argument; do case $argument in results=*) log=${argument#results=\'}; log=${log%\'}-wal ;; esac; done
"$@" &
until [ "$(stat -c %s "$log" 2>/dev/null || echo 0)" -gt 250000 ]; do
  kill -0 $! || break
  sleep 0.01
done
kill -s "$KILL_WITH" $!
wait $!
)sh");
    write_program("scontrol", "echo \"$@\" >> '" + path("requeued") + "'\n");
    std::string source, reference;
    for (int i = 0; i < 60; ++i) {
      source += fmt::format("eins zwei {}\n", i);
      reference += fmt::format("one two {}\n", i);
    }
    std::ofstream(folder_ / "source") << source;
    std::ofstream(folder_ / "reference") << reference;
    Json model = Json::parse(std::ifstream(fixture("bloom-7layers") + "/config.json"));
    model["vocab_size"] = 2000;  // no smaller than the tokenizer's
    std::ofstream(folder_ / "model.json") << model;
    std::ofstream(folder_ / "sweep.yaml")
        << "name: slurm\nmodel: {path: \"synthetic:" << path("model.json")
        << "\", tokenizer: " << SKIPBENCH_SOURCE_DIR
        << "/tests/fixtures/tokenizer/spm-unigram/tokenizer.model}\n"
        << "datasets:\n  - {name: d, source: " << path("source")
        << ", reference: " << path("reference") << ", prompt: \"{source}\", metrics: [bleu]}\n"
        << "decoding: {max_new_tokens: 200}\nstrategies: [full, unified]\n"
        << "targets: [2, 3]\nbatch_sizes: [2]\n"
        << "timing: {repetitions: 0}\n"
        << "results: " << path("whole.db") << "\n";
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  void write_program(const std::string& name, const std::string& body) {
    std::ofstream(folder_ / "bin" / name) << "#!/bin/bash\n" << body;
    fs::permissions(folder_ / "bin" / name, fs::perms::owner_all);
  }

  // Task `id` of an array whose indices are 4 and 5, with `environment` before it.
  std::string task(int id, const std::string& environment = "") const {
    return fmt::format(
        "PATH='{0}/bin':$PATH SKIPBENCH='{1}' SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID={2} "
        "SLURM_ARRAY_TASK_MIN=4 SLURM_ARRAY_TASK_COUNT=2 {3} bash '{4}/scripts/slurm/sweep.sbatch' "
        "'{0}/sweep.yaml' '{0}/parts #1' --set decoding.max_new_tokens=200",
        folder_.string(), SKIPBENCH_BINARY, id, environment, SKIPBENCH_SOURCE_DIR);
  }

  static ProcessResult shell(const std::string& script) {
    const std::vector<std::string> argv = {"bash", "-c", script};
    return run_process(argv, "", /*timeout_seconds=*/120);
  }

  std::string requeued() const {
    std::ifstream file(path("requeued"));
    return {std::istreambuf_iterator<char>(file), {}};
  }

  Json quality_of(const std::string& results) const {
    const Json table = Json::parse(run_skipbench({"table", results, "-o", "json"}).output);
    Json kept = Json::array();
    for (const Json& row : table["rows"]) {
      kept.push_back({row["strategy"], row["target"], row["batch"], row["layers"], row["scores"],
                      row["status"]});
    }
    return kept;
  }

  fs::path folder_;
};

TEST_F(SlurmScript, AnotherTaskFinishesAKilledShard) {
  ASSERT_EQ(shell(task(4)).exit_code, 0);
  // Before its time limit a task gets a signal and has 3 for an answer.
  const ProcessResult stopped = shell(task(5, "KILL_WITH=TERM"));
  ASSERT_EQ(stopped.exit_code, 3) << stopped.errors;
  EXPECT_EQ(requeued(), "requeue 77_5\n");
  const ProcessResult killed = shell(task(5, "KILL_WITH=KILL"));
  ASSERT_EQ(killed.exit_code, 137) << killed.errors;
  EXPECT_EQ(requeued(), "requeue 77_5\nrequeue 77_5\n");
  // After three restarts a shard that is killed again stays down.
  EXPECT_EQ(shell(task(5, "KILL_WITH=NOW SLURM_RESTART_COUNT=3")).exit_code, 137);
  EXPECT_EQ(requeued(), "requeue 77_5\nrequeue 77_5\n");
  const ProcessResult finished = shell(task(5, "SLURM_RESTART_COUNT=3"));
  ASSERT_EQ(finished.exit_code, 0) << finished.errors;
  EXPECT_NE(shell(task(5)).errors.find("shard 2/2: its part of 3 cells is done"),
            std::string::npos);
  const ProcessResult merged = run_skipbench(
      {"merge", path("parts #1/shard-1.db"), path("parts #1/shard-2.db"), "-o", path("all.db")});
  ASSERT_EQ(merged.exit_code, 0) << merged.errors;
  ASSERT_EQ(run_skipbench({"run", path("sweep.yaml")}).exit_code, 0);
  EXPECT_EQ(quality_of(path("all.db")), quality_of(path("whole.db")));
}

// Slurm gave the node up, but its program lives: the task elsewhere waits for it.
TEST_F(SlurmScript, WaitsForANodeThatIsStillAtWork) {
  const ProcessResult both =
      shell("(" + task(5) + ") & until [ -e '" + path("parts #1/shard-2.db") +
            "' ]; do sleep 0.05; done; sleep 0.2; " + task(5) + "; echo $?");
  EXPECT_EQ(both.output.substr(both.output.rfind('\n', both.output.size() - 2) + 1), "0\n")
      << both.errors;
  EXPECT_NE(both.errors.find("its part of 3 cells is done"), std::string::npos) << both.errors;
  EXPECT_EQ(requeued(), "");
}

TEST_F(SlurmScript, SaysHowToCallIt) {
  const ProcessResult result =
      shell("bash " SKIPBENCH_SOURCE_DIR "/scripts/slurm/sweep.sbatch a.yaml results/a");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.errors.find("sbatch --array="), std::string::npos) << result.errors;
}

}  // namespace
}  // namespace skipbench
