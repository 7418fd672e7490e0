#include <cmath>
#include <string>

#include "benchmarks/kernels.h"
#include "strategies/exit_signal.h"

namespace skipbench::bench {
namespace {

// An exit test as the host makes it, of all rows together: final norm and head (Q8_0, as the demo
// model's), the softmax's numbers of each row, and its confidence.
void run_test_by_head(benchmark::State& state, ExitSignal signal, int64_t rows) {
  const RandomWeight weight = random_weight(DType::kQ8_0, kVocabulary, kHidden, 1);
  const Projection head{{weight.weight}, {}};
  const NormWeights norm{Vector(kHidden, 1.0f), {}};
  const RandomMatrix hidden = random_matrix(rows, kHidden);
  const RandomMatrix logits = random_matrix(rows, kVocabulary);
  std::vector<NextToken> next(static_cast<size_t>(rows));
  LinearArgs args;
  args.norm = {NormKind::kRmsNorm, 1e-5, &norm};
  args.projection = &head;
  args.in = hidden.matrix;
  args.out = logits.matrix;
  const double log_vocabulary = std::log(static_cast<double>(kVocabulary));
  const Clock::time_point begin = Clock::now();
  for (auto _ : state) {
    backend().linear(args);
    backend().next_token({.logits = logits.matrix,
                          .with_entropy = signal == ExitSignal::kEntropy,
                          .out = next.data()});
    for (const NextToken& row : next) {
      benchmark::DoNotOptimize(exit_confidence(signal, row.top_probability, row.second_probability,
                                               row.entropy, log_vocabulary));
    }
  }
  // The logits are written once and read once, the softmax's numbers computed from them.
  const double logits_bytes = 4.0 * static_cast<double>(rows * kVocabulary);
  set_counters(state, begin, static_cast<double>(weight.weight.bytes()) + 2 * logits_bytes,
               2.0 * static_cast<double>(rows * kVocabulary * kHidden));
}

// By the cosine of a layer's input and output: the input is copied, no head is asked.
void run_test_by_cosine(benchmark::State& state, int64_t rows) {
  const RandomMatrix hidden = random_matrix(rows, kHidden);
  const RandomMatrix kept = random_matrix(rows, kHidden);
  std::vector<double> cosines(static_cast<size_t>(rows));
  const Clock::time_point begin = Clock::now();
  for (auto _ : state) {
    backend().copy_rows_if({.in = hidden.matrix, .out = kept.matrix, .flag = nullptr});
    backend().cosine({.a = kept.matrix, .b = hidden.matrix, .out = cosines.data()});
    benchmark::DoNotOptimize(cosines.data());
  }
  const double states = 4.0 * static_cast<double>(rows * kHidden);
  set_counters(state, begin, 4 * states, 6.0 * static_cast<double>(rows * kHidden));
}

}  // namespace

void register_exit_test() {
  for (int64_t rows : {1, 8}) {
    const std::string end = std::string("/").append(std::to_string(rows));
    for (const auto& [name, signal] :
         {std::pair("softmax_difference", ExitSignal::kSoftmaxDifference),
          std::pair("entropy", ExitSignal::kEntropy)}) {
      benchmark::RegisterBenchmark(("exit_test/" + std::string(name) + end).c_str(),
                                   run_test_by_head, signal, rows)
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
    benchmark::RegisterBenchmark(("exit_test/cosine" + end).c_str(), run_test_by_cosine, rows)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace skipbench::bench
