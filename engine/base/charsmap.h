// What libsentencepiece reads of a model file without checking it.
#pragma once

#include <string>
#include <string_view>

namespace skipbench {

// `model`: the bytes of a sentencepiece .model file. Throws Error naming `where` if a precompiled
// character map in it (of the normaliser or the denormaliser) would lead a lookup out of its
// bounds. Bytes that are no such file at all pass: the library refuses them.
void check_charsmaps(std::string_view model, const std::string& where);

}  // namespace skipbench
