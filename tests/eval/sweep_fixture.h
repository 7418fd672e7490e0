// A sweep that takes a second: a random model of six small layers, a tokenizer of bytes, a few
// lines of text, in a folder of its own.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/sweep/runner.h"

namespace skipbench {

class SweepFolder {
 public:
  SweepFolder();
  ~SweepFolder();
  SweepFolder(const SweepFolder&) = delete;
  SweepFolder& operator=(const SweepFolder&) = delete;

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& text) const;

  // The model gets `size` embeddings; the tokenizer stays (257 tokens).
  void resize_vocabulary(int size) const;

  // The YAML of the sweep; `write_config` puts it into sweep.yaml.
  std::string config_text() const;
  std::string write_config(const std::string& text) const;

  SweepSetup setup(const std::vector<std::string>& overrides = {}) const;
  SweepOutcome run(const std::string& results, const std::vector<std::string>& overrides = {},
                   SweepOptions options = {}) const;

  // The table as JSON (its "rows").
  nlohmann::json rows(const std::string& results) const;
  // The rows without what was measured with a clock.
  nlohmann::json untimed_rows(const std::string& results) const;

 private:
  std::filesystem::path folder_;
};

// The number that `sql` selects in a results file.
int64_t count_in(const std::string& results, const std::string& sql);
// The text likewise.
std::string text_in(const std::string& results, const std::string& sql);

// What the Error says that `action` throws; fails the test if it throws none.
std::string message_of(const std::function<void()>& action);

// Runs `work` in a child process and returns waitpid's status. `kill_after_us` >= 0: kills the
// child with `signal` after so long.
int run_in_child(const std::function<int()>& work, int64_t kill_after_us = -1, int signal = 0);

}  // namespace skipbench
