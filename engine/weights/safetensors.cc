#include "engine/weights/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "engine/base/error.h"
#include "engine/weights/json_file.h"

namespace skipbench {

static_assert(std::endian::native == std::endian::little, "files are read without swapping bytes");

namespace {

using nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

struct ElementType {
  std::string_view name;
  uint32_t bytes;
  std::optional<DType> dtype;  // empty: the engine does not read it
};

constexpr ElementType kElementTypes[] = {
    {"F32", 4, DType::kF32}, {"F16", 2, DType::kF16}, {"BF16", 2, DType::kBF16},
    {"F64", 8, {}},          {"I64", 8, {}},          {"I32", 4, {}},
    {"I16", 2, {}},          {"I8", 1, {}},           {"U64", 8, {}},
    {"U32", 4, {}},          {"U16", 2, {}},          {"U8", 1, {}},
    {"BOOL", 1, {}},         {"F8_E4M3", 1, {}},      {"F8_E5M2", 1, {}},
    {"F8_E8M0", 1, {}},      {"C64", 8, {}},
};

const ElementType* find_type(std::string_view name) {
  for (const ElementType& type : kElementTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

// A tensor's line in the header, with the messages that name it.
class EntryReader {
 public:
  EntryReader(const std::string& path, std::string_view header, const std::string& name,
              const json& value)
      : path_(path), header_(header), name_(name), value_(value) {
    if (!value.is_object()) fail("the tensor's description is no object", "", "");
  }

  [[noreturn]] void fail(std::string what, std::string expected, std::string got) const {
    const size_t place =
        header_.find(fmt::format("\"{}\"", name_));  // not found when the name has escapes
    throw Error({.what = std::move(what),
                 .where = fmt::format("{}: tensor '{}' at byte {}", path_, name_,
                                      kLengthBytes + (place == header_.npos ? 0 : place)),
                 .expected = std::move(expected),
                 .got = std::move(got)});
  }

  std::string dtype() const {
    const auto found = value_.find("dtype");
    if (found == value_.end() || !found->is_string()) fail("no dtype", "a string", "");
    return found->get<std::string>();
  }

  std::vector<uint64_t> numbers(const char* key) const {
    const auto found = value_.find(key);
    if (found == value_.end() || !found->is_array()) {
      fail(fmt::format("no {}", key), "a list of integers", "");
    }
    std::vector<uint64_t> numbers;
    for (const json& element : *found) {
      if (!element.is_number_unsigned()) {
        fail(fmt::format("bad number in {}", key), "an integer that is not negative",
             element.dump(-1, ' ', false, json::error_handler_t::replace));
      }
      numbers.push_back(element.get<uint64_t>());
    }
    return numbers;
  }

 private:
  const std::string& path_;
  std::string_view header_;
  const std::string& name_;
  const json& value_;
};

// Elements of `shape`; fails when they pass 2^63 - 1.
uint64_t count_elements(const EntryReader& reader, const std::vector<uint64_t>& shape) {
  constexpr auto kLimit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  uint64_t count = 1;
  for (const uint64_t extent : shape) {
    // Extents are limited even beside a 0, so that rows and columns fit their type.
    if (extent > kLimit || (extent != 0 && count > kLimit / extent)) {
      reader.fail("the shape overflows 63 bits", "", fmt::format("[{}]", fmt::join(shape, ", ")));
    }
    count *= extent;
  }
  return count;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(MappedFile::open(path)) {
  const auto bytes = file_->bytes();
  const auto fail = [&](std::string what, std::string expected, std::string got) {
    throw Error({.what = std::move(what),
                 .where = path + ": header at byte 0",
                 .expected = std::move(expected),
                 .got = std::move(got)});
  };
  if (bytes.size() < kLengthBytes) {
    fail("the file ends too early", "8 bytes of header length", std::to_string(bytes.size()));
  }
  uint64_t header_size;
  std::memcpy(&header_size, bytes.data(), kLengthBytes);
  const uint64_t limit = std::min(kMaxHeaderBytes, bytes.size() - kLengthBytes);
  if (header_size > limit) {
    fail("the header does not fit into the file", fmt::format("up to {} bytes", limit),
         std::to_string(header_size));
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                                header_size);
  const json root = parse_json(header, path + ": header", kLengthBytes);
  if (!root.is_object()) fail("the header is no JSON object", "", "");

  const uint64_t data_begin = kLengthBytes + header_size;
  const uint64_t data_size = bytes.size() - data_begin;
  for (const auto& [name, value] : root.items()) {
    if (name == "__metadata__") continue;
    const EntryReader reader(path, header, name, value);
    Entry entry;
    entry.dtype = reader.dtype();
    const auto shape = reader.numbers("shape");
    const uint64_t elements = count_elements(reader, shape);
    entry.shape.assign(shape.begin(), shape.end());
    const auto offsets = reader.numbers("data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_size) {
      reader.fail("the tensor does not lie inside the file",
                  fmt::format("data_offsets [begin, end] up to {}", data_size),
                  fmt::format("[{}]", fmt::join(offsets, ", ")));
    }
    const ElementType* type = find_type(entry.dtype);
    const uint64_t size = offsets[1] - offsets[0];
    if (type != nullptr && (elements > size || elements * type->bytes != size)) {
      reader.fail("the tensor's place does not have the size of its shape",
                  fmt::format("{} elements of {} bytes", elements, type->bytes),
                  fmt::format("{} bytes", size));
    }
    entry.begin = data_begin + offsets[0];
    entry.end = data_begin + offsets[1];
    entries_.emplace(name, std::move(entry));
  }
  check_coverage(data_begin);
}

// As the format's own reader: the tensors cover the data without a hole, so that a header of the
// wrong length or a file with something else in it does not pass as a model.
void SafetensorsFile::check_coverage(uint64_t data_begin) const {
  std::vector<std::pair<const Entry*, const std::string*>> order;
  for (const auto& [name, entry] : entries_) order.emplace_back(&entry, &name);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first->begin, a.first->end) < std::pair(b.first->begin, b.first->end);
  });
  uint64_t covered = data_begin;
  const std::string* before = nullptr;
  for (const auto& [entry, name] : order) {
    if (entry->begin != covered) {
      const bool overlaps = entry->begin < covered;
      throw Error({.what = overlaps ? fmt::format("the tensor overlaps tensor '{}'", *before)
                                    : "bytes before the tensor belong to none",
                   .where = where(*name),
                   .expected = fmt::format("a start at byte {}", covered),
                   .got = std::to_string(entry->begin)});
    }
    covered = entry->end;
    before = name;
  }
  if (covered != file_->bytes().size()) {
    throw Error({.what = "the file goes on after its last tensor",
                 .where = before != nullptr ? where(*before) : file_->path(),
                 .expected = fmt::format("a file of {} bytes", covered),
                 .got = fmt::format("{} bytes", file_->bytes().size()),
                 .hint = "the header's length is wrong, or the file is damaged"});
  }
}

std::optional<Weight> SafetensorsFile::find(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return std::nullopt;
  const Entry& entry = found->second;
  const ElementType* type = find_type(entry.dtype);
  if (type == nullptr || !type->dtype) {
    throw Error({.what = "tensor type not supported",
                 .where = where(name),
                 .expected = "F32, F16 or BF16",
                 .got = entry.dtype});
  }
  if (entry.shape.empty() || entry.shape.size() > 2 || entry.begin == entry.end) {
    throw Error({.what = "tensor shape not supported",
                 .where = where(name),
                 .expected = "a vector or a matrix that is not empty",
                 .got = fmt::format("[{}]", fmt::join(entry.shape, ", "))});
  }
  Weight weight;
  weight.name = name;
  weight.type = *type->dtype;
  weight.rows = entry.shape.size() == 2 ? entry.shape[0] : 1;
  weight.cols = entry.shape.back();
  weight.data = file_->bytes().data() + entry.begin;
  return weight;
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

std::string SafetensorsFile::where(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return file_->path();
  return fmt::format("{}: tensor '{}' at byte {}", file_->path(), name, found->second.begin);
}

}  // namespace skipbench
