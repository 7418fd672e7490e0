#include "eval/bench/bench.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <utility>

#include "engine/weights/memory_plan.h"

namespace skipbench {
namespace {

struct Candidate {
  StrategySpec spec;
  std::unique_ptr<SkipStrategy> strategy;
};

std::vector<Candidate> candidates(const BenchRequest& request, int num_layers, int new_tokens) {
  std::vector<Candidate> list;
  const auto add = [&](const StrategySpec& spec) {
    const StrategySpec whole = with_new_tokens(spec, std::max(1, new_tokens));
    list.push_back({whole, make_strategy(whole, num_layers)});
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

  RowPair(const Candidate& candidate, int batch, int prompt_tokens, int new_tokens) {
    const StrategySpec& spec = candidate.spec;
    prompt = {.test = fmt::format("pp{}", prompt_tokens),
              .strategy = spec.name,
              .target = spec.target,
              .batch = batch,
              .n_prompt = prompt_tokens};
    decode = prompt;
    decode.test = fmt::format("tg{} @ d{}", new_tokens, prompt_tokens);
    decode.n_prompt = 0;
    decode.n_gen = new_tokens;
    decode.n_depth = prompt_tokens;
    if (const SkipRule* rule = candidate.strategy->rule()) decode.exit_depths = rule->depths_from;
  }

  void add(const GenerateResult& result, const BatchUse& use) {
    add_use(prompt, use);
    add_use(decode, use);
    joules_.push_back(use.energy_joules);
    output_tokens_ += result.timings.decode_tokens + std::ssize(result.outputs);
    add_sample(prompt, result.timings.prefill_us, result.timings.prompt_tokens);
    prompt.layers = result.outputs.front().layers_per_token.front();
    if (result.timings.decode_tokens == 0) return;
    add_sample(decode, result.timings.decode_us, result.timings.decode_tokens);
    std::vector<LayersPerToken> layers;
    for (const GenerateOutput& output : result.outputs) layers.push_back(output.layers_per_token);
    decode.layers = realised_budget(layers);
    test_us_ += result.timings.exit_test_us;
    decode_us_ += result.timings.decode_us;
    decode.exit_test_share = test_us_ / decode_us_;
  }

  // After the last repetition.
  void finish() {
    double sum = 0;
    for (const auto& joules : joules_) {
      if (!joules) return;  // a sum over some of them would be of all tokens
      sum += *joules;
    }
    // A counter that did not move within all batches is too slow for them.
    if (sum > 0) decode.joules_per_token = sum / static_cast<double>(output_tokens_);
  }

 private:
  void add_use(BenchRow& row, const BatchUse& use) {
    row.peak_memory_bytes = std::max(row.peak_memory_bytes, use.peak_memory_bytes);
    // Means of as many as there are.
    const auto batches = static_cast<double>(row.samples_ns.size());
    const auto add_clock = [&](std::optional<double>& mean, std::optional<int64_t> clock) {
      if (!clock) return;
      mean = (mean.value_or(0) * batches + static_cast<double>(*clock)) / (batches + 1);
    };
    add_clock(row.sm_clock_mhz, use.state.sm_clock_mhz);
    add_clock(row.memory_clock_mhz, use.state.memory_clock_mhz);
    if (const auto reasons = use.state.clock_reasons) {
      row.clock_reasons = row.clock_reasons.value_or(0) | *reasons;
    }
    row.foreign_processes = std::max(row.foreign_processes, use.state.foreign_processes);
    row.foreign_memory_bytes = std::max(row.foreign_memory_bytes, use.state.foreign_memory_bytes);
  }

  std::vector<std::optional<double>> joules_;
  int64_t output_tokens_ = 0;
  double test_us_ = 0, decode_us_ = 0;
};

struct Shape {
  int prompt_tokens = 0;  // 0: decoding alone
  int batch = 1;
  int new_tokens = 0;       // 0: the prompt alone
  bool keep_prompt = true;  // false: its test has been measured
};

std::vector<Shape> shapes(const BenchRequest& request) {
  std::vector<Shape> list;
  for (const int prompt_tokens : request.prompt_tokens) {
    for (const int batch : request.batches) {
      for (const int new_tokens : request.new_tokens) {
        const bool keep_prompt = prompt_tokens > 0 && new_tokens == request.new_tokens.front();
        if (keep_prompt || new_tokens > 0) {
          list.push_back({prompt_tokens, batch, new_tokens, keep_prompt});
        }
      }
    }
  }
  return list;
}

class Bench {
 public:
  Bench(Decoder& decoder, const BenchRequest& request,
        const std::function<void(int done, int all)>& on_sample)
      : decoder_(decoder),
        request_(request),
        on_sample_(on_sample),
        meter_(decoder.model().backend(), request.telemetry),
        rounds_(request.warmup + request.repetitions) {}

  std::vector<BenchRow> run() {
    const std::vector<Shape> all = shapes(request_);
    const auto skipping = std::ranges::count_if(
        request_.strategies, [](const StrategySpec& spec) { return spec.name != "full"; });
    all_ = static_cast<int>((1 + skipping) * std::ssize(all)) * rounds_;
    for (const Shape& shape : all) measure(shape);
    return std::move(rows_);
  }

 private:
  void measure(const Shape& shape) {
    const int length = std::max(1, shape.prompt_tokens);  // a decoder starts from a token
    const auto prompts =
        random_prompts(shape.batch, length, decoder_.model().config().vocab_size, request_.seed);
    // The prefill makes the first token; new_tokens more come from decoding steps.
    const GenerateOptions options{.max_new_tokens = shape.new_tokens + 1};
    const auto measured =
        candidates(request_, decoder_.model().config().num_layers, shape.new_tokens);
    std::vector<RowPair> pairs;
    for (const Candidate& candidate : measured) {
      pairs.emplace_back(candidate, shape.batch, length, shape.new_tokens);
    }
    for (int round = 0; round < rounds_; ++round) {
      for (size_t i = 0; i < measured.size(); ++i) {
        meter_.begin();
        const auto result = decoder_.generate(prompts, *measured[i].strategy, options);
        const BatchUse use = meter_.end();
        if (round >= request_.warmup) pairs[i].add(result, use);
        if (on_sample_) on_sample_(++done_, all_);
      }
    }
    for (RowPair& pair : pairs) pair.finish();
    if (shape.keep_prompt) keep(pairs, &RowPair::prompt);
    if (shape.new_tokens > 0) keep(pairs, &RowPair::decode);
  }

  void keep(std::vector<RowPair>& pairs, BenchRow RowPair::*row) {
    const double full = median((pairs.front().*row).samples_ts);
    for (RowPair& pair : pairs) {
      (pair.*row).speedup = median((pair.*row).samples_ts) / full;
      rows_.push_back(pair.*row);
    }
  }

  Decoder& decoder_;
  const BenchRequest& request_;
  const std::function<void(int done, int all)>& on_sample_;
  BatchMeter meter_;
  int rounds_, all_ = 0, done_ = 0;
  std::vector<BenchRow> rows_;
};

}  // namespace

BenchContext bench_context(Model& model) {
  const LoadedModel& loaded = model.loaded();
  const WeightCount count = count_weights(loaded.weights);
  std::string types;
  for (const auto& [type, of_type] : count.matrices) {
    types += fmt::format("{}{}", types.empty() ? "" : ", ", dtype_name(type));
  }
  Provenance provenance = collect_provenance(model.backend());
  provenance.card = describe_card(model.backend());
  return {
      .model = loaded.path,
      .model_type = fmt::format("{} {}L {}", loaded.config.family, loaded.config.num_layers, types),
      .model_size = count.bytes,
      .model_n_params = count.parameters,
      .type_kv = std::string(dtype_name(model.backend().activation_type())),
      .test_time = fmt::format(
          "{:%Y-%m-%dT%H:%M:%SZ}",
          fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()))),
      .provenance = std::move(provenance)};
}

std::vector<BenchRow> run_bench(Decoder& decoder, const BenchRequest& request,
                                const std::function<void(int done, int all)>& on_sample) {
  return Bench(decoder, request, on_sample).run();
}

}  // namespace skipbench
