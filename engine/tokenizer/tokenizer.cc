#include "engine/tokenizer/tokenizer.h"

#include <algorithm>
#include <iterator>

namespace skipbench {

std::string Tokenizer::decode_known(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<int32_t> known;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(known),
               [this](int32_t id) { return id >= 0 && id < vocab_size(); });
  return decode(known, skip_special);
}

}  // namespace skipbench
