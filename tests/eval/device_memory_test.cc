// A sweep on a device that fails: the emulated one, which can be given any amount of memory and any
// error.
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/base/error.h"
#include "eval/store/database.h"
#include "tests/emulator/runtime_api.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

class EmulatedMemory : public testing::Test {
 protected:
  void TearDown() override { emulator::set_memory_bytes(size_t{16} << 30); }
};

TEST_F(EmulatedMemory, ACellThatDoesNotFitIsRecordedAndLaterDone) {
  const SweepFolder folder;
  const std::vector<std::string> overrides = {"device=emulated", "strategies=[full]",
                                              "batch_sizes=[3]", "timing.repetitions=0",
                                              "results=" + folder.path("memory.db")};
  emulator::set_memory_bytes(emulator::memory_in_use() + 100);
  EXPECT_EQ(run_sweep(folder.setup(overrides), {}), SweepOutcome::kSomeFailed);
  {
    Database database(folder.path("memory.db"), OpenMode::kReadOnly);
    Statement cells(database, "SELECT status, message FROM cells");
    ASSERT_TRUE(cells.step());
    EXPECT_EQ(cells.text(0), "oom");
    EXPECT_NE(cells.text(1).find("asked for"), std::string::npos) << cells.text(1);
    EXPECT_NE(cells.text(1).find("are free"), std::string::npos) << cells.text(1);
  }
  emulator::set_memory_bytes(size_t{16} << 30);
  EXPECT_EQ(run_sweep(folder.setup(overrides), {}), SweepOutcome::kDone);
}

// A sticky error ends the sweep: its cell is recorded, the store is closed, and another process
// goes on where it ended.
TEST(EmulatedDeviceLost, EndsTheSweepAfterTheStoreIsClosed) {
  const SweepFolder folder;
  const std::string results = folder.path("lost.db");
  const std::vector<std::string> overrides = {"device=emulated",      "strategies=[full, unified]",
                                              "targets=[2]",          "batch_sizes=[3]",
                                              "timing.repetitions=0", "results=" + results};
  EXPECT_THROW(
      {
        SweepSetup setup = folder.setup(overrides);
        emulator::lose_device_after(300, cudaErrorIllegalAddress);
        run_sweep(std::move(setup), {});
      },
      DeviceLost);
  EXPECT_NE(cudaPeekAtLastError(), cudaSuccess);
  emulator::restore_device();
  EXPECT_FALSE(std::filesystem::exists(results + "-wal"));
  {
    Database database(results, OpenMode::kReadOnly);
    Statement failed(database, "SELECT message FROM cells WHERE status = 'failed'");
    ASSERT_TRUE(failed.step());
    EXPECT_NE(failed.text(0).find("cudaErrorIllegalAddress"), std::string::npos) << failed.text(0);
    Statement runs(database, "SELECT state FROM runs");
    ASSERT_TRUE(runs.step());
    EXPECT_EQ(runs.text(0), "failed");
  }
  EXPECT_EQ(run_sweep(folder.setup(overrides), {}), SweepOutcome::kDone);
}

}  // namespace
}  // namespace skipbench
