// Metrics and the bootstrap on a file of 2,000 lines. Run:
//   build/cpu-release/benchmarks/metrics_bench
// SKIPBENCH_BENCH_HYPOTHESIS and SKIPBENCH_BENCH_REFERENCE name the files; without them the lines
// are made up. peers/sacrebleu_speed.py runs this beside sacreBLEU on the same files.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "eval/metrics/registry.h"
#include "eval/metrics/significance.h"

namespace skipbench {
namespace {

constexpr int kLines = 2000;

struct Corpus {
  std::vector<std::string> hypotheses;
  std::vector<std::vector<std::string>> references;
};

std::vector<std::string> read_lines(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// Sentences of 5 to 35 words from a vocabulary with few frequent and many rare ones; the output
// differs from the reference in one word of four.
Corpus made_up() {
  std::mt19937 random(1);
  const auto word = [&] {
    const double u = std::generate_canonical<double, 32>(random);
    std::string text;
    for (int n = static_cast<int>(u * u * u * 20000); n > 0; n /= 23) {
      text += static_cast<char>('a' + n % 23);
    }
    return text.empty() ? std::string("the") : text;
  };
  Corpus corpus;
  for (int line = 0; line < kLines; ++line) {
    std::string hypothesis, reference;
    for (int n = 5 + static_cast<int>(random() % 31); n > 0; --n) {
      const std::string next = word();
      reference += next + ' ';
      hypothesis += (random() % 4 == 0 ? word() : next) + ' ';
    }
    corpus.hypotheses.push_back(hypothesis + '.');
    corpus.references.push_back({reference + '.'});
  }
  return corpus;
}

const Corpus& corpus() {
  static const Corpus loaded = [] {
    const char* hypothesis = std::getenv("SKIPBENCH_BENCH_HYPOTHESIS");
    const char* reference = std::getenv("SKIPBENCH_BENCH_REFERENCE");
    if (hypothesis == nullptr || reference == nullptr) return made_up();
    Corpus read{.hypotheses = read_lines(hypothesis)};
    for (std::string& line : read_lines(reference)) read.references.push_back({std::move(line)});
    return read;
  }();
  return loaded;
}

void score_corpus(benchmark::State& state, const std::string& name) {
  const auto metric = make_metric(name, {});
  for (auto _ : state) {
    benchmark::DoNotOptimize(corpus_scores(*metric, corpus().hypotheses, corpus().references));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(corpus().hypotheses.size()));
}

// 1,000 resamples from statistics that are there already.
void bootstrap(benchmark::State& state, const std::string& name) {
  const auto metric = make_metric(name, {});
  const SegmentStats stats = segment_statistics(*metric, corpus().hypotheses, corpus().references);
  for (auto _ : state) benchmark::DoNotOptimize(bootstrap_intervals(*metric, stats, {}));
}

BENCHMARK_CAPTURE(score_corpus, bleu, "bleu")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(score_corpus, chrf, "chrf")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(score_corpus, ter, "ter")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(score_corpus, rouge, "rouge")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(bootstrap, bleu, "bleu")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(bootstrap, chrf, "chrf")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace skipbench

BENCHMARK_MAIN();
