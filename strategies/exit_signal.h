// The decision of an exit test, so that host and device decide alike.
#pragma once

#include <cstdint>

namespace skipbench {

// kCosine is that of two hidden states and asks nothing of the softmax.
enum class ExitSignal { kSoftmaxDifference, kTopProbability, kEntropy, kCosine };

// How sure a row is, of the softmax's best two probabilities and its entropy in nats. 0 for
// kCosine.
constexpr double exit_confidence(ExitSignal signal, float top, float second, float entropy,
                                 double log_vocabulary) {
  switch (signal) {
    case ExitSignal::kSoftmaxDifference:
      return static_cast<double>(top) - static_cast<double>(second);
    case ExitSignal::kTopProbability:
      return static_cast<double>(top);
    case ExitSignal::kEntropy:
      return 1.0 - static_cast<double>(entropy) / log_vocabulary;
    case ExitSignal::kCosine:
      break;
  }
  return 0.0;
}

// Entries between the places at which texts with neighbouring numbers, such as the rows of a batch,
// read exit depths that are replayed.
inline constexpr int kReplayStride = 7;

// Which of `entries` exit depths is that of text `text` in decoding step `step`.
constexpr int64_t replayed_entry(int64_t step, int64_t text, int64_t entries) {
  return (step + kReplayStride * text) % entries;
}

}  // namespace skipbench
