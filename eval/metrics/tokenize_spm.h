// sacreBLEU's sentencepiece tokenizers (flores101, flores200: spBLEU) with a given model file.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "eval/metrics/tokenize.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace skipbench {

class SpmPieces {
 public:
  // Throws Error naming the file if it cannot be read as a sentencepiece model.
  explicit SpmPieces(const std::string& path);
  ~SpmPieces();

  // The pieces of `line`, split at the white space that some of them hold. Thread-safe.
  void tokenize(std::string_view line, TokenList* out) const;

  // CRC-32 of the file: scores of different models must not look alike.
  const std::string& checksum() const { return checksum_; }

 private:
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::string checksum_;
};

}  // namespace skipbench
