// Which devices tests can run on.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <ostream>
#include <string>

#include "engine/backend.h"
#include "engine/base/error.h"

namespace skipbench {

// Empty where `device` can be used; else why not.
inline std::string why_not(const std::string& device) {
  try {
    make_backend({.device = device});
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// Whether a test that finds no GPU must fail instead of being skipped: asked for, and in a build
// that could use one.
inline bool gpu_is_required([[maybe_unused]] const std::string& device) {
#ifdef SKIPBENCH_WITH_CUDA
  const char* require = std::getenv("SKIPBENCH_REQUIRE_GPU");
  return device == "cuda" && require != nullptr && std::string(require) == "1";
#else
  return false;
#endif
}

// For a fixture's SetUp: without `device` its tests are skipped, or fail where a GPU is required.
inline void skip_without(const std::string& device) {
  const std::string missing = why_not(device);
  if (missing.empty()) return;
  if (gpu_is_required(device)) FAIL() << missing;
  GTEST_SKIP() << missing;
}

// Of a test with a file of wanted values, on each device.
struct FixtureOnDevice {
  std::string device;
  std::string fixture;

  friend void PrintTo(const FixtureOnDevice& test, std::ostream* out) {
    *out << test.fixture << " on " << test.device;
  }
};

}  // namespace skipbench
