// Decoding by draft and check: the output is that of the whole model, token for token, greedily or
// by draws (engine/sampling.h).
#pragma once

#include <span>

#include "engine/decoder.h"

namespace skipbench {

// As Decoder::generate, for a strategy that has a speculation(). A step of the timings is a round:
// the drafting passes of all rows and one pass of the whole model over what they drafted. A row's
// layers of a round (each drafted token's and each checked one's) are shared by the tokens that it
// made in it.
GenerateResult generate_speculatively(Model& model, std::span<const TokenIds> prompts,
                                      const SkipStrategy& strategy, const GenerateOptions& options);

}  // namespace skipbench
