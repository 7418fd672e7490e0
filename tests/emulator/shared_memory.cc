// Shared memory of the block that runs: poisoned at its start, its guards checked at its end.
#include <memory>

#include "fmt/format.h"
#include "tests/emulator/block.h"
#include "tests/emulator/guarded_memory.h"

namespace skipbench::emulator {
namespace {

struct SlotNode {
  std::unique_ptr<GuardedMemory> memory;
  uint64_t epoch = 0;
  SlotNode* next = nullptr;
};
SlotNode* slots = nullptr;

}  // namespace

std::string shared_memory_damage() {
  if (dynamic_memory != nullptr && !dynamic_memory->guards_intact()) {
    return fmt::format("wrote outside of its {} bytes of dynamic shared memory",
                       dynamic_memory->bytes());
  }
  for (SlotNode* slot = slots; slot != nullptr; slot = slot->next) {
    if (slot->epoch == block_epoch && !slot->memory->guards_intact()) {
      return fmt::format("wrote outside of an object of {} bytes in shared memory",
                         slot->memory->bytes());
    }
  }
  return "";
}

void* dynamic_shared_memory() {
  if (dynamic_memory == nullptr) {
    stop_with("asks for dynamic shared memory, but was launched with 0 bytes of it");
  }
  return dynamic_memory->data();
}

SharedSlot::SharedSlot(size_t bytes) {
  auto* node = new SlotNode{std::make_unique<GuardedMemory>(bytes), 0, slots};
  slots = node;
  node_ = node;
}

void* SharedSlot::memory() const {
  auto* node = static_cast<SlotNode*>(node_);
  if (node->epoch != block_epoch) {
    node->epoch = block_epoch;
    node->memory->poison();
  }
  return node->memory->data();
}

}  // namespace skipbench::emulator
