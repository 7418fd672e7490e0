// What an exception in the work of a cell means for the sweep.
#pragma once

#include <string>

namespace skipbench {

struct Failure {
  std::string status;  // of the cell: cell_status::kOutOfMemory or kFailed
  std::string message;
  bool ends_sweep = false;  // the device is lost: nothing more can run in this process
};

// To be called in a catch block. Rethrows what is no cell's failure: errors of the store and
// Interrupted.
Failure current_failure();

}  // namespace skipbench
