// What the machine that runs a model says of itself beside the work: a card's clocks, and how much
// energy went through. Every part may be missing, which is no error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skipbench {

struct DeviceState {
  std::optional<int64_t> sm_clock_mhz, memory_clock_mhz;
  std::optional<int64_t> temperature_c;
  std::optional<double> power_watts;     // of the whole card
  std::optional<int64_t> clock_reasons;  // bits, as clock_reason_words knows them
  // Processes with work on the card other than this one, and what they hold of its memory.
  std::optional<int64_t> foreign_processes, foreign_memory_bytes;
};

// What does not change while a program runs; empty or nothing: it is no card, or does not say.
struct CardDescription {
  std::string driver;                       // its version, "550.54.15"
  std::string uuid;                         // "GPU-" and 36 characters: this one card
  std::optional<double> power_limit_watts;  // that is enforced, of the whole card
};

// Why a card runs below its highest clocks, in words; idleness, which is no reason under load, is
// left out. A bit of a later driver is "reason 0x200". `bits`: NVML's clocks event reasons.
std::vector<std::string> clock_reason_words(int64_t bits);

// Of such words, with "; " between them as rows of `bench` have them, those that spoil a timing:
// heat, the power supply's brake, a slowdown by hardware, and what this version does not know. Not
// the settings of clocks, sync boost and the power limit, under which a card may run for good: they
// matter where they give clocks that differ.
std::vector<std::string> spoiling_clock_reasons(std::string_view words);

class DeviceMonitor {
 public:
  virtual ~DeviceMonitor() = default;

  virtual CardDescription card() const { return {}; }
  virtual DeviceState state() { return {}; }
  // Joules since a moment of the device's own: differences alone mean something. Nothing: the
  // device does not count, or counts more than what this process uses of it.
  virtual std::optional<double> energy_joules() = 0;
};

}  // namespace skipbench
