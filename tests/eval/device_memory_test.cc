// A sweep on a device that fails: the emulated one, which can be given any amount of memory and any
// error.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "engine/base/error.h"
#include "eval/report/clock_notes.h"
#include "eval/report/result_table.h"
#include "eval/store/database.h"
#include "tests/emulator/runtime_api.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/eval/telemetry/fake_nvml.h"

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

// A sweep on a card, as NVML tells of it: a stand-in here, as the card is.
TEST(EmulatedTelemetry, ClocksEnergyAndMemoryAreThoseOfTheTimedBatches) {
  void* library = dlopen(SKIPBENCH_FAKE_NVML, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  auto& card = *static_cast<FakeCard*>(dlsym(library, "fake_card"));
  card.more_millijoules = 6000;  // of each batch, which is read before and after
  card.reasons = 0x20;
  card.processes[0] = {static_cast<unsigned>(getpid()), 1 << 20};
  card.processes[1] = {static_cast<unsigned>(getpid()) + 1, 4096};
  card.num_processes = 2;
  const SweepFolder folder;
  SweepOptions options;
  options.telemetry.nvml_library = SKIPBENCH_FAKE_NVML;
  options.telemetry.powercap_folder = options.telemetry.process_folder = folder.path("none");
  ASSERT_EQ(folder.run("a.db",
                       {"device=emulated", "strategies=[full, unified]", "targets=[3]",
                        "batch_sizes=[2]", "timing.repetitions=2", "timing.prompts=2",
                        "timing.new_tokens=3", "datasets.de-en.limit=2",
                        "datasets.de-en.prompt='{source}'", "decoding.max_new_tokens=2"},
                       options),
            SweepOutcome::kDone);
  EXPECT_STREQ(card.asked_for, "0000:00:00.0");
  EXPECT_EQ(card.opened, 0);
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  const ResultTable table = load_result_table(store);
  const CardDescription& described = table.run.provenance.card;
  EXPECT_EQ(described.driver, "550.54.15\\x1b");
  EXPECT_EQ(described.uuid, "GPU-8f5c1a2e-0000-1111-2222-333344445555");
  EXPECT_EQ(described.power_limit_watts, 700);
  EXPECT_NE(table.run.provenance.libraries.cuda_runtime, "");
  EXPECT_EQ(table.run.provenance.libraries.cublaslt, "") << "the emulated device has none";
  ASSERT_EQ(table.rows.size(), 2u);
  for (const TableRow& row : table.rows) {
    EXPECT_DOUBLE_EQ(row.joules_per_token.value(), 6.0 / 6) << "two rows of three tokens";
    EXPECT_EQ(row.sm_clock_mhz, 1755);
    EXPECT_EQ(row.memory_clock_mhz, 2619);
    EXPECT_EQ(row.temperature_c, 61);
    EXPECT_EQ(row.clock_reasons, 0x20);
    EXPECT_EQ(row.foreign_processes, 1);
    EXPECT_EQ(row.foreign_memory_bytes, 4096);
    // The device held at least what the strategy needs.
    EXPECT_GE(row.peak_memory_mib.value(), row.needed_mib.value());
    EXPECT_LT(row.peak_memory_mib.value(), row.needed_mib.value() + 1) << "and scratch";
  }
  ASSERT_EQ(clock_notes(table).size(), 1u);
  EXPECT_NE(clock_notes(table)[0].find("heat (slowdown by the driver)"), std::string::npos);
  EXPECT_EQ(count_in(folder.path("a.db"),
                     "SELECT count(*) FROM samples WHERE group_id > 0 AND power_watts = 612.345"),
            4);
  dlclose(library);
}

}  // namespace
}  // namespace skipbench
