#include "engine/recordings.h"

#include <algorithm>

namespace skipbench {

void Recordings::run(const std::function<Key()>& key, const std::function<void()>& queue) {
  const Key wanted = key();
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.key == wanted; });
  if (found == entries_.end()) {
    queue();
    if (entries_.size() == kMost) entries_.pop_front();
    entries_.push_back({key(), nullptr});
    return;
  }
  entries_.splice(entries_.end(), entries_, found);
  if (found->recording != nullptr && found->recording->replay()) {
    ++replayed_;
    return;
  }
  if (found->recording != nullptr) {  // of no more use: as if it came for the first time
    found->recording = nullptr;
    queue();
    found->key = key();
    return;
  }
  found->recording = backend_.record(queue);
  ++recorded_;
  if (found->recording == nullptr || !found->recording->replay()) {
    found->recording = nullptr;
    queue();
  }
}

}  // namespace skipbench
