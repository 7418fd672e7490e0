// Decoding several hypotheses of each text at once (beam search).
#pragma once

#include <span>

#include "engine/decoder.h"

namespace skipbench {

// The best text of each prompt by beam search, with Hugging Face's rules of candidates, finished
// texts and their end (transformers 5, GenerationMixin._beam_search; NoRepeatNGramLogitsProcessor).
// Prompts are read once; beams share positions of the cache through a table, no key or value is
// copied. The host chooses among the continuations, from all of a step's logits. Time and layers
// are those of all beams, tokens those of the texts returned. Equal candidates: the earlier beam,
// then the lower id. Throws Error for a strategy whose layers depend on the text (beams of one text
// would differ in them), for draws, and for more beams than the vocabulary has continuations for.
GenerateResult generate_with_beams(Model& model, std::span<const TokenIds> prompts,
                                   const SkipStrategy& strategy, const GenerateOptions& options);

}  // namespace skipbench
