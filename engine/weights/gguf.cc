// Parsing of a GGUF file; the look-ups are in gguf_lookup.cc.
#include "engine/weights/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "engine/base/error.h"
#include "engine/weights/ggml_type.h"

namespace skipbench {

static_assert(std::endian::native == std::endian::little, "GGUF is read without swapping bytes");

// Reads primitive values; every read checks the bounds first and names what it was reading.
class GgufCursor {
 public:
  GgufCursor(const std::string& path, std::span<const std::byte> bytes)
      : path_(path), bytes_(bytes) {}

  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return bytes_.size() - offset_; }
  void describe(std::string what) { what_ = std::move(what); }

  template <typename T>
  T read() {
    need(sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

  std::string read_string() {
    const auto size = read<uint64_t>();
    need(size);
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + offset_, size);
    offset_ += size;
    return text;
  }

  void need(uint64_t size) const {
    if (size > remaining()) {
      fail("the file ends too early", fmt::format("{} more bytes", size),
           fmt::format("{} until the end of the file", remaining()));
    }
  }

  [[noreturn]] void fail(std::string what, std::string expected = "", std::string got = "") const {
    throw Error({.what = std::move(what),
                 .where = fmt::format("{}: {} at byte {}", path_, what_, offset_),
                 .expected = std::move(expected),
                 .got = std::move(got)});
  }

 private:
  const std::string& path_;
  std::span<const std::byte> bytes_;
  uint64_t offset_ = 0;
  std::string what_ = "header";
};

namespace {

constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint64_t kMaxNameBytes = 65535;  // the format's limit for keys

// Numbers of the format's value types.
enum class ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

bool read_bool(GgufCursor& cursor) {
  const auto value = cursor.read<uint8_t>();
  if (value > 1) cursor.fail("invalid boolean", "0 or 1", std::to_string(value));
  return value == 1;
}

GgufValue read_scalar(GgufCursor& cursor, ValueType type) {
  switch (type) {
    case ValueType::kU8:
      return uint64_t{cursor.read<uint8_t>()};
    case ValueType::kI8:
      return int64_t{cursor.read<int8_t>()};
    case ValueType::kU16:
      return uint64_t{cursor.read<uint16_t>()};
    case ValueType::kI16:
      return int64_t{cursor.read<int16_t>()};
    case ValueType::kU32:
      return uint64_t{cursor.read<uint32_t>()};
    case ValueType::kI32:
      return int64_t{cursor.read<int32_t>()};
    case ValueType::kF32:
      return double{cursor.read<float>()};
    case ValueType::kBool:
      return read_bool(cursor);
    case ValueType::kString:
      return cursor.read_string();
    case ValueType::kU64:
      return cursor.read<uint64_t>();
    case ValueType::kI64:
      return cursor.read<int64_t>();
    case ValueType::kF64:
      return cursor.read<double>();
    case ValueType::kArray:
      break;
  }
  cursor.fail("unknown value type", "0 to 12", std::to_string(static_cast<uint32_t>(type)));
}

// Elements of `Raw` in the file become a vector of `Out`. `count` is checked against the file's
// size before memory is reserved, so that a lying count costs nothing.
template <typename Raw, typename Out>
std::vector<Out> read_elements(GgufCursor& cursor, uint64_t count) {
  if (count > cursor.remaining() / sizeof(Raw)) {
    cursor.fail("the array does not fit into the file",
                fmt::format("at most {} elements", cursor.remaining() / sizeof(Raw)),
                std::to_string(count));
  }
  std::vector<Out> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const Raw value = cursor.read<Raw>();
    if constexpr (std::is_same_v<Raw, uint64_t>) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        cursor.fail("array element does not fit into 63 bits", "", std::to_string(value));
      }
    }
    values.push_back(static_cast<Out>(value));
  }
  return values;
}

GgufValue read_array(GgufCursor& cursor) {
  const auto type = static_cast<ValueType>(cursor.read<uint32_t>());
  const auto count = cursor.read<uint64_t>();
  switch (type) {
    case ValueType::kU8:
      return read_elements<uint8_t, int64_t>(cursor, count);
    case ValueType::kI8:
      return read_elements<int8_t, int64_t>(cursor, count);
    case ValueType::kU16:
      return read_elements<uint16_t, int64_t>(cursor, count);
    case ValueType::kI16:
      return read_elements<int16_t, int64_t>(cursor, count);
    case ValueType::kU32:
      return read_elements<uint32_t, int64_t>(cursor, count);
    case ValueType::kI32:
      return read_elements<int32_t, int64_t>(cursor, count);
    case ValueType::kU64:
      return read_elements<uint64_t, int64_t>(cursor, count);
    case ValueType::kI64:
      return read_elements<int64_t, int64_t>(cursor, count);
    case ValueType::kF32:
      return read_elements<float, double>(cursor, count);
    case ValueType::kF64:
      return read_elements<double, double>(cursor, count);
    case ValueType::kBool: {
      cursor.need(count);
      std::vector<bool> values(count);
      for (uint64_t i = 0; i < count; ++i) values[i] = read_bool(cursor);
      return values;
    }
    case ValueType::kString: {
      if (count > cursor.remaining() / sizeof(uint64_t)) {
        cursor.fail("the array does not fit into the file",
                    fmt::format("at most {} strings", cursor.remaining() / sizeof(uint64_t)),
                    std::to_string(count));
      }
      std::vector<std::string> values;
      values.reserve(count);
      for (uint64_t i = 0; i < count; ++i) values.push_back(cursor.read_string());
      return values;
    }
    case ValueType::kArray:
      cursor.fail("arrays of arrays are not supported");
  }
  cursor.fail("unknown array element type", "0 to 12 but 9",
              std::to_string(static_cast<uint32_t>(type)));
}

std::string read_name(GgufCursor& cursor) {
  std::string name = cursor.read_string();
  if (name.empty() || name.size() > kMaxNameBytes) {
    cursor.fail("bad length of a name", fmt::format("1 to {} bytes", kMaxNameBytes),
                std::to_string(name.size()));
  }
  return name;
}

// Product of `shape`; fails when it passes 2^63 - 1.
uint64_t count_elements(const GgufCursor& cursor, const std::vector<uint64_t>& shape) {
  uint64_t count = 1;
  for (const uint64_t extent : shape) {
    if (extent == 0) cursor.fail("a dimension is 0");
    if (extent > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / count) {
      cursor.fail("the shape overflows 63 bits", "", fmt::format("[{}]", fmt::join(shape, ", ")));
    }
    count *= extent;
  }
  return count;
}

// Bytes of a tensor, 0 for a type that ggml does not have.
uint64_t tensor_bytes(const GgufCursor& cursor, const std::vector<uint64_t>& shape,
                      uint32_t type_id) {
  const uint64_t elements = count_elements(cursor, shape);
  const GgmlType* type = find_ggml_type(type_id);
  if (type == nullptr) return 0;
  if (shape[0] % type->block_elements != 0) {
    cursor.fail("rows of a block type must be whole blocks",
                fmt::format("a multiple of {} for type {}", type->block_elements, type->name),
                std::to_string(shape[0]));
  }
  const uint64_t blocks = elements / type->block_elements;
  if (blocks > std::numeric_limits<uint64_t>::max() / type->block_bytes) {
    cursor.fail("the tensor's size overflows 64 bits");
  }
  return blocks * type->block_bytes;
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : path_(path), file_(MappedFile::open(path)) {
  GgufCursor cursor(path_, file_->bytes());
  const auto magic = cursor.read<std::array<char, 4>>();
  if (std::string_view(magic.data(), magic.size()) != "GGUF") {
    throw Error(
        {.what = "not a GGUF file", .where = path_ + ": byte 0", .expected = "the bytes 'GGUF'"});
  }
  const auto version = cursor.read<uint32_t>();
  if (version != 2 && version != 3) {
    const bool big_endian = version != 0 && (version & 0xffff) == 0;
    cursor.fail("GGUF version not supported", "2 or 3, little-endian",
                big_endian ? "a big-endian file" : std::to_string(version));
  }
  const auto num_tensors = cursor.read<uint64_t>();
  const auto num_keys = cursor.read<uint64_t>();
  read_metadata(cursor, num_keys);
  read_tensors(cursor, num_tensors);

  uint64_t alignment = kDefaultAlignment;
  if (has("general.alignment")) alignment = static_cast<uint64_t>(integer("general.alignment"));
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    cursor.describe("key 'general.alignment' of the metadata");
    cursor.fail("bad alignment", fmt::format("a power of two up to {}", kMaxAlignment),
                std::to_string(alignment));
  }
  place_tensors((cursor.offset() + alignment - 1) / alignment * alignment, alignment);
}

void GgufFile::read_metadata(GgufCursor& cursor, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    cursor.describe(fmt::format("metadata key {} of {}", i + 1, count));
    std::string key = read_name(cursor);
    cursor.describe(fmt::format("key '{}'", key));
    const auto type = static_cast<ValueType>(cursor.read<uint32_t>());
    GgufValue value = type == ValueType::kArray ? read_array(cursor) : read_scalar(cursor, type);
    if (!metadata_.emplace(std::move(key), std::move(value)).second) {
      cursor.fail("the key stands in the file twice");
    }
  }
}

void GgufFile::read_tensors(GgufCursor& cursor, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    cursor.describe(fmt::format("tensor {} of {}", i + 1, count));
    std::string name = read_name(cursor);
    cursor.describe(fmt::format("tensor '{}'", name));
    TensorEntry entry;
    const auto num_dims = cursor.read<uint32_t>();
    if (num_dims < 1 || num_dims > 4) {
      cursor.fail("bad number of dimensions", "1 to 4", std::to_string(num_dims));
    }
    for (uint32_t d = 0; d < num_dims; ++d) entry.shape.push_back(cursor.read<uint64_t>());
    entry.ggml_type = cursor.read<uint32_t>();
    entry.bytes = tensor_bytes(cursor, entry.shape, entry.ggml_type);
    entry.offset = cursor.read<uint64_t>();
    if (!tensors_.emplace(std::move(name), std::move(entry)).second) {
      cursor.fail("the tensor stands in the file twice");
    }
  }
}

void GgufFile::place_tensors(uint64_t data_begin, uint64_t alignment) {
  const uint64_t file_size = file_->bytes().size();
  const auto fail = [&](const std::string& name, uint64_t byte, std::string what,
                        std::string expected, std::string got) {
    throw Error({.what = std::move(what),
                 .where = fmt::format("{}: tensor '{}' at byte {}", path_, name, byte),
                 .expected = std::move(expected),
                 .got = std::move(got)});
  };
  std::vector<std::pair<uint64_t, std::string_view>> order;  // by place
  for (auto& [name, entry] : tensors_) {
    if (entry.offset % alignment != 0) {
      fail(name, data_begin, "the tensor's offset is not aligned",
           fmt::format("a multiple of {}", alignment), std::to_string(entry.offset));
    }
    const uint64_t room = file_size > data_begin ? file_size - data_begin : 0;
    if (entry.offset > room || entry.bytes > room - entry.offset) {
      fail(name, data_begin, "the tensor does not lie inside the file",
           fmt::format("offset + size up to {}", room),
           fmt::format("{} + {}", entry.offset, entry.bytes));
    }
    entry.offset += data_begin;
    order.emplace_back(entry.offset, name);
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 1; i < order.size(); ++i) {
    const auto& before = tensors_.find(order[i - 1].second)->second;
    if (before.offset + before.bytes > order[i].first) {
      fail(std::string(order[i].second), order[i].first,
           fmt::format("the tensor overlaps tensor '{}'", order[i - 1].second),
           fmt::format("a start at byte {} or later", before.offset + before.bytes),
           std::to_string(order[i].first));
    }
  }
  // Padding to the alignment may follow, nothing more. A type without a known size is refused by
  // whoever asks for its tensor, with its name.
  const bool sizes_known = std::all_of(tensors_.begin(), tensors_.end(),
                                       [](const auto& item) { return item.second.bytes > 0; });
  const std::string last(order.empty() ? std::string_view() : order.back().second);
  const uint64_t end = order.empty() ? data_begin : order.back().first + tensors_.at(last).bytes;
  if (sizes_known && file_size > end && file_size - end > alignment) {
    fail(last, order.empty() ? data_begin : order.back().first,
         "the file goes on after its last tensor",
         fmt::format("a file of up to {} bytes", end + alignment),
         fmt::format("{} bytes", file_size));
  }
}

}  // namespace skipbench
