// Numbers that someone else published, to stand beside one's own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace skipbench {

struct PublishedNumbers {
  struct Row {
    int64_t batch = 1;
    double target = 1;
    std::string strategy;
    double total_tokens_per_second = 0;
  };

  std::string name;    // of the columns: "paper"
  std::string source;  // where they were published, on which machine
  std::vector<Row> rows;

  // Throughput at a point, and its ratio to `full` at the same batch size. Nothing where it was not
  // published (here).
  std::optional<double> total_per_second(int64_t batch, double target,
                                         const std::string& strategy) const;
  std::optional<double> speedup(int64_t batch, double target, const std::string& strategy) const;
};

// JSON: {"source": TEXT, "rows": [{"batch", "target", "strategy", "total_tokens_per_second"}]}.
// Throws Error naming the file, and the row, for anything else.
PublishedNumbers read_published(const std::string& name, const std::string& path);

}  // namespace skipbench
