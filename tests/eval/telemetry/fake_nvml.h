// What the stand-in for libnvidia-ml.so.1 answers (fake_nvml.cc): a test finds it in the library as
// `fake_card` and changes it.
#pragma once

struct FakeCard {
  int init_code, find_code, mig_code, value_code;  // nvmlReturn_t of the calls; 0: they succeed
  unsigned mig_mode;
  unsigned sm_mhz, memory_mhz, celsius, milliwatts;
  unsigned long long reasons, millijoules;
  unsigned long long more_millijoules;  // the counter grows so much at each reading
  unsigned limit_milliwatts;
  // Of processes on the card: pid and bytes, `num_processes` of them; more than there is room for
  // are refused as NVML does.
  struct Process {
    unsigned pid;
    unsigned long long bytes;
  } processes[80];
  unsigned num_processes;
  int processes_code;
  int opened;          // nvmlInit_v2 less nvmlShutdown
  char asked_for[64];  // the address that was looked for last
};
