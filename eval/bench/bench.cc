#include "eval/bench/bench.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>

#include "engine/weights/memory_plan.h"

namespace skipbench {
namespace {

struct Candidate {
  StrategySpec spec;
  std::unique_ptr<SkipStrategy> strategy;
};

std::vector<Candidate> candidates(const BenchRequest& request, int num_layers) {
  std::vector<Candidate> list;
  const auto add = [&](const StrategySpec& spec) {
    list.push_back({spec, make_strategy(spec, num_layers)});
  };
  add({.name = "full"});
  for (const StrategySpec& spec : request.strategies) {
    if (spec.name != "full") add(spec);
  }
  return list;
}

std::vector<TokenIds> random_prompts(int count, int length, int vocab_size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<TokenIds> prompts(static_cast<size_t>(count));
  for (TokenIds& prompt : prompts) {
    for (int i = 0; i < length; ++i) {
      prompt.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab_size)));
    }
  }
  return prompts;
}

double median(std::vector<double> values) {
  const size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(middle), values.end());
  if (values.size() % 2 == 1) return values[middle];
  const double upper = values[middle];
  return (*std::max_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(middle)) +
          upper) /
         2;
}

void add_sample(BenchRow& row, double microseconds, int64_t tokens) {
  row.samples_ns.push_back(microseconds * 1e3);
  row.samples_ts.push_back(static_cast<double>(tokens) / (microseconds * 1e-6));
}

// The pp and tg rows of one candidate at one batch size.
struct RowPair {
  BenchRow prompt;
  BenchRow decode;

  RowPair(const StrategySpec& spec, int batch, const BenchRequest& request) {
    prompt = {.test = fmt::format("pp{}", request.prompt_tokens),
              .strategy = spec.name,
              .target = spec.target,
              .batch = batch,
              .n_prompt = request.prompt_tokens};
    decode = prompt;
    decode.test = fmt::format("tg{} @ d{}", request.new_tokens, request.prompt_tokens);
    decode.n_prompt = 0;
    decode.n_gen = request.new_tokens;
    decode.n_depth = request.prompt_tokens;
  }

  void add(const GenerateResult& result) {
    add_sample(prompt, result.timings.prefill_us, result.timings.prompt_tokens);
    prompt.layers = result.outputs.front().layers_per_token.front();
    if (result.timings.decode_tokens == 0) return;
    add_sample(decode, result.timings.decode_us, result.timings.decode_tokens);
    std::vector<LayersPerToken> layers;
    for (const GenerateOutput& output : result.outputs) layers.push_back(output.layers_per_token);
    decode.layers = realised_budget(layers);
  }
};

}  // namespace

BenchContext bench_context(Model& model) {
  const LoadedModel& loaded = model.loaded();
  const WeightCount count = count_weights(loaded.weights);
  std::string types;
  for (const auto& [type, of_type] : count.matrices) {
    types += fmt::format("{}{}", types.empty() ? "" : ", ", dtype_name(type));
  }
  return {
      .model = loaded.path,
      .model_type = fmt::format("{} {}L {}", loaded.config.family, loaded.config.num_layers, types),
      .model_size = count.bytes,
      .model_n_params = count.parameters,
      .type_kv = std::string(dtype_name(model.backend().activation_type())),
      .test_time = fmt::format(
          "{:%Y-%m-%dT%H:%M:%SZ}",
          fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()))),
      .provenance = collect_provenance(model.backend())};
}

std::vector<BenchRow> run_bench(Decoder& decoder, const BenchRequest& request,
                                const std::function<void(int done, int all)>& on_sample) {
  const ModelConfig& config = decoder.model().config();
  const std::vector<Candidate> list = candidates(request, config.num_layers);
  // The prefill makes the first token; new_tokens more come from decoding steps.
  const GenerateOptions options{.max_new_tokens = request.new_tokens + 1};
  const int rounds = request.warmup + request.repetitions;
  const int all = static_cast<int>(list.size() * request.batches.size()) * rounds;
  int done = 0;
  std::vector<BenchRow> rows;
  for (const int batch : request.batches) {
    const std::vector<TokenIds> prompts =
        random_prompts(batch, request.prompt_tokens, config.vocab_size, request.seed);
    std::vector<RowPair> pairs;
    for (const Candidate& candidate : list) pairs.emplace_back(candidate.spec, batch, request);
    for (int round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < list.size(); ++i) {
        const GenerateResult result = decoder.generate(prompts, *list[i].strategy, options);
        if (round >= request.warmup) pairs[i].add(result);
        if (on_sample) on_sample(++done, all);
      }
    }
    const double full_prompt = median(pairs.front().prompt.samples_ts);
    for (RowPair& pair : pairs) {
      pair.prompt.speedup = median(pair.prompt.samples_ts) / full_prompt;
      rows.push_back(pair.prompt);
    }
    if (request.new_tokens == 0) continue;
    const double full_decode = median(pairs.front().decode.samples_ts);
    for (RowPair& pair : pairs) {
      pair.decode.speedup = median(pair.decode.samples_ts) / full_decode;
      rows.push_back(pair.decode);
    }
  }
  return rows;
}

}  // namespace skipbench
