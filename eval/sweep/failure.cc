#include "eval/sweep/failure.h"

#include <exception>
#include <new>

#include "engine/base/error.h"
#include "eval/store/store.h"

namespace skipbench {

Failure current_failure() {
  try {
    throw;
  } catch (const StoreError&) {
    throw;
  } catch (const DeviceLost& error) {
    return {cell_status::kFailed, error.what(), true};
  } catch (const OutOfMemory& error) {
    return {cell_status::kOutOfMemory, error.what()};
  } catch (const std::bad_alloc&) {
    return {cell_status::kOutOfMemory, "out of memory"};
  } catch (const std::exception& error) {
    return {cell_status::kFailed, error.what()};
  }
}

}  // namespace skipbench
