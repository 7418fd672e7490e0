// A sweep on a device whose memory ends: the emulated one, which can be given any amount.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace skipbench
