// A stand-in for libnvidia-ml.so.1 with the functions that skipbench asks for, and answers that a
// test plants. SKIPBENCH_OLD_NVML: as an old driver's, without energy, MIG, UUID, power limit and
// the newer names of reasons and processes.
#include "tests/eval/telemetry/fake_nvml.h"

#include <cstring>

extern "C" {

FakeCard fake_card = {.mig_code = 3,
                      .sm_mhz = 1755,
                      .memory_mhz = 2619,
                      .celsius = 61,
                      .milliwatts = 612345,
                      .reasons = 0,
                      .millijoules = 5'000'000,
                      .limit_milliwatts = 700'000};

}  // extern "C"

// The entries of both versions begin alike.
template <typename Entry>
static int processes_into(unsigned* count, Entry* entries) {
  const unsigned room = *count;
  *count = fake_card.num_processes;
  if (fake_card.processes_code != 0) return fake_card.processes_code;
  if (*count > room) return 7;
  for (unsigned i = 0; i < *count; ++i) {
    entries[i].pid = fake_card.processes[i].pid;
    entries[i].bytes = fake_card.processes[i].bytes;
  }
  return 0;
}

extern "C" {

int nvmlInit_v2() {
  if (fake_card.init_code == 0) ++fake_card.opened;
  return fake_card.init_code;
}
int nvmlShutdown() {
  --fake_card.opened;
  return 0;
}

// Fills the buffer to its last byte, as no library should.
int nvmlSystemGetDriverVersion(char* text, unsigned bytes) {
  std::memset(text, '7', bytes);
  std::memcpy(text, "550.54.15\x1b", 11);
  return 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  std::strncpy(fake_card.asked_for, id, sizeof(fake_card.asked_for) - 1);
  *device = &fake_card;
  return fake_card.find_code;
}

// SM and memory are types 1 and 2.
int nvmlDeviceGetClockInfo(void* device, int type, unsigned* mhz) {
  if (device != &fake_card || (type != 1 && type != 2)) return 2;
  *mhz = type == 1 ? fake_card.sm_mhz : fake_card.memory_mhz;
  return fake_card.value_code;
}
int nvmlDeviceGetTemperature(void* device, int sensor, unsigned* celsius) {
  if (device != &fake_card || sensor != 0) return 2;
  *celsius = fake_card.celsius;
  return fake_card.value_code;
}
int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) {
  *milliwatts = fake_card.milliwatts;
  return fake_card.value_code;
}

static int reasons_into(unsigned long long* reasons) {
  *reasons = fake_card.reasons;
  return fake_card.value_code;
}

#ifdef SKIPBENCH_OLD_NVML
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  return reasons_into(reasons);
}
int nvmlDeviceGetComputeRunningProcesses(void*, unsigned* count, FakeCard::Process* entries) {
  return processes_into(count, entries);
}
#else
int nvmlDeviceGetUUID(void* device, char* text, unsigned bytes) {
  if (device != &fake_card || bytes < 41) return 2;
  std::memcpy(text, "GPU-8f5c1a2e-0000-1111-2222-333344445555", 41);
  return fake_card.value_code;
}
int nvmlDeviceGetEnforcedPowerLimit(void*, unsigned* milliwatts) {
  *milliwatts = fake_card.limit_milliwatts;
  return fake_card.value_code;
}
struct FakeProcess {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance, compute_instance;
};
int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, FakeProcess* entries) {
  return processes_into(count, entries);
}
int nvmlDeviceGetCurrentClocksEventReasons(void*, unsigned long long* reasons) {
  return reasons_into(reasons);
}
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
  *millijoules = fake_card.millijoules;
  fake_card.millijoules += fake_card.more_millijoules;
  return fake_card.value_code;
}
int nvmlDeviceGetMigMode(void*, unsigned* current, unsigned* pending) {
  *current = *pending = fake_card.mig_mode;
  return fake_card.mig_code;
}
#endif

}  // extern "C"
