#include "engine/recordings.h"

#include <algorithm>

namespace skipbench {

RanLayers Recordings::run(const std::function<Key()>& key,
                          const std::function<RanLayers()>& queue) {
  const Key wanted = key();
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.key == wanted; });
  if (found == entries_.end()) {
    const RanLayers ran = queue();
    if (entries_.size() == kMost) entries_.pop_front();
    entries_.push_back({key(), nullptr, {}});
    return ran;
  }
  entries_.splice(entries_.end(), entries_, found);
  if (found->recording != nullptr && found->recording->replay()) {
    ++replayed_;
    return found->ran;
  }
  if (found->recording != nullptr) {  // of no more use: as if it came for the first time
    found->recording = nullptr;
    const RanLayers ran = queue();
    found->key = key();
    return ran;
  }
  found->recording = backend_.record([&] { found->ran = queue(); });
  ++recorded_;
  if (found->recording == nullptr || !found->recording->replay()) {
    found->recording = nullptr;
    return queue();
  }
  return found->ran;
}

}  // namespace skipbench
