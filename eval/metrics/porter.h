// Porter's suffix stripping (Program 14.3, 1980: 130-137) with the extensions of NLTK's
// PorterStemmer in its default mode, which is what rouge_score stems with.
#pragma once

#include <string>

namespace skipbench {

// Stems `word` in place. Expects lower case ASCII letters and digits (digits are consonants).
void porter_stem(std::string* word);

}  // namespace skipbench
