#include "eval/metrics/tokenize_spm.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <zlib.h>

#include <vector>

#include "engine/base/charsmap.h"
#include "engine/base/error.h"
#include "engine/base/text_file.h"

namespace skipbench {

SpmPieces::SpmPieces(const std::string& path)
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {
  const std::string model = read_small_file(path);
  check_charsmaps(model, path);
  const auto status = processor_->LoadFromSerializedProto(model);
  if (!status.ok()) {
    throw Error(
        {.what = "not a sentencepiece model", .where = path, .got = std::string(status.message())});
  }
  const auto* data = reinterpret_cast<const Bytef*>(model.data());
  checksum_ = fmt::format("{:08x}", crc32_z(0, data, model.size()));
}

SpmPieces::~SpmPieces() = default;

void SpmPieces::tokenize(std::string_view line, TokenList* out) const {
  std::vector<std::string> pieces;
  const auto status = processor_->Encode({line.data(), line.size()}, &pieces);
  if (!status.ok()) {
    throw Error(
        {.what = "sentencepiece cannot encode a line", .got = std::string(status.message())});
  }
  out->text.clear();
  for (const std::string& piece : pieces) out->text.append(piece).push_back(' ');
  split_tokens(out);
}

}  // namespace skipbench
