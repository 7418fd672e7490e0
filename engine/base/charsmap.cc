#include "engine/base/charsmap.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <vector>

#include "engine/base/error.h"

namespace skipbench {
namespace {

// --- protobuf ------------------------------------------------------------------------------------

// Field numbers of sentencepiece_model.proto.
constexpr uint64_t kNormalizerSpec = 3, kDenormalizerSpec = 5, kPrecompiledCharsmap = 2;

std::optional<uint64_t> take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// Calls `use` with the number and the bytes of each field that has a length, up to the first that
// cannot be read.
void for_each_field(std::string_view message,
                    const std::function<void(uint64_t number, std::string_view bytes)>& use) {
  while (!message.empty()) {
    const std::optional<uint64_t> tag = take_varint(message);
    if (!tag) return;
    uint64_t length = 0;
    switch (*tag & 7) {
      case 0:
        if (!take_varint(message)) return;
        break;
      case 1:
        length = 8;
        break;
      case 2: {
        const std::optional<uint64_t> told = take_varint(message);
        if (!told || *told > message.size()) return;
        use(*tag >> 3, message.substr(0, *told));
        length = *told;
        break;
      }
      case 5:
        length = 4;
        break;
      default:  // a group begins or ends: its fields follow
        break;
    }
    if (length > message.size()) return;
    message.remove_prefix(length);
  }
}

// --- the map -------------------------------------------------------------------------------------

// A unit of a double-array trie (darts-clone, as sentencepiece has it).
class Unit {
 public:
  explicit Unit(uint32_t bits) : bits_(bits) {}
  bool has_leaf() const { return (bits_ >> 8 & 1) != 0; }
  uint32_t value() const { return bits_ & 0x7fffffffu; }
  uint32_t label() const { return bits_ & (0x80000000u | 0xffu); }
  uint32_t offset() const { return bits_ >> 10 << ((bits_ & 0x200u) >> 6); }

 private:
  uint32_t bits_;
};

// The bytes of a map: the trie's size in bytes, the trie, texts that end with a zero.
class Charsmap {
 public:
  explicit Charsmap(std::string_view bytes) : bytes_(bytes) {}

  // What a lookup could do wrong; empty: nothing.
  std::string fault() {
    uint32_t size = 0;
    if (bytes_.size() < sizeof(size)) return "it ends within its size";
    std::memcpy(&size, bytes_.data(), sizeof(size));
    if (size == 0 || size % sizeof(uint32_t) != 0 || size >= bytes_.size() - sizeof(size)) {
      return fmt::format("a trie of {} bytes in {}", size, bytes_.size());
    }
    trie_ = bytes_.substr(sizeof(size), size);
    texts_ = bytes_.substr(sizeof(size) + size);
    if (texts_.back() != '\0') return "its last text has no end";
    return walk();
  }

 private:
  uint32_t units() const { return static_cast<uint32_t>(trie_.size() / sizeof(uint32_t)); }

  Unit unit(uint32_t at) const {
    uint32_t bits = 0;
    std::memcpy(&bits, trie_.data() + size_t{at} * sizeof(bits), sizeof(bits));
    return Unit(bits);
  }

  // Visits every place from which a lookup goes on. It reads one of the 256 units around it, as the
  // text's next byte says.
  std::string walk() const {
    std::vector<bool> seen(units());
    std::vector<uint32_t> open{unit(0).offset()};
    while (!open.empty()) {
      const uint32_t base = open.back();
      open.pop_back();
      if ((base | 0xffu) >= units()) return fmt::format("unit {} of {}", base | 0xffu, units());
      if (seen[base]) continue;
      seen[base] = true;
      for (uint32_t byte = 0; byte < 256; ++byte) {
        const Unit child = unit(base ^ byte);
        if (child.label() != byte) continue;
        const uint32_t next = base ^ byte ^ child.offset();
        if (child.has_leaf()) {
          if (next >= units()) return fmt::format("unit {} of {}", next, units());
          const uint32_t text = unit(next).value();
          if (text >= texts_.size()) return fmt::format("text {} of {}", text, texts_.size());
        }
        open.push_back(next);
      }
    }
    return "";
  }

  std::string_view bytes_, trie_, texts_;
};

}  // namespace

void check_charsmaps(std::string_view model, const std::string& where) {
  for_each_field(model, [&](uint64_t number, std::string_view spec) {
    if (number != kNormalizerSpec && number != kDenormalizerSpec) return;
    for_each_field(spec, [&](uint64_t inner, std::string_view bytes) {
      if (inner != kPrecompiledCharsmap || bytes.empty()) return;
      const std::string fault = Charsmap(bytes).fault();
      if (fault.empty()) return;
      throw Error({.what = "the sentencepiece model's character map is damaged",
                   .where = where,
                   .expected = "lookups that stay within the map",
                   .got = fault,
                   .hint = "fetch the file again"});
    });
  });
}

}  // namespace skipbench
