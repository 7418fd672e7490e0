// Timing groups: forced length, strategies take turns batch by batch.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "datasets/postprocess.h"
#include "engine/base/error.h"
#include "engine/weights/memory_plan.h"
#include "eval/sweep/interrupt.h"
#include "eval/sweep/session.h"

namespace skipbench {
namespace {

struct Contestant {
  RunnableCell runnable;
  std::unique_ptr<SkipStrategy> strategy;
  ResultStore::TimedCell timed;
};

class TimingGroup {
 public:
  TimingGroup(const SweepSession& session, const Cell& any_cell)
      : session_(session),
        prompts_(std::span(session.inputs(any_cell).prompts)
                     .first(static_cast<size_t>(session.config().timing.prompts))),
        batch_(any_cell.key.batch) {
    options_.max_new_tokens = session.config().timing.new_tokens;
    options_.sampling = session.config().sampling;
    options_.beams = session.config().beams;
    options_.on_tokens = [&](int tokens) { session_.progress.add_tokens(tokens); };
  }

  // The measured shape, untimed; once is enough to fill caches and buffers.
  void warm_up(Contestant& contestant) {
    options_.first_text = 0;
    decoder(contestant).generate(batch(0), *contestant.strategy, options_);
    session_.finish_batch();
  }

  void measure(Contestant& contestant, int64_t repetition, int64_t index) {
    const auto part = batch(index);
    options_.first_text = static_cast<int32_t>(index * batch_);
    session_.meter.begin();
    const GenerateResult result =
        decoder(contestant).generate(part, *contestant.strategy, options_);
    const BatchUse use = session_.meter.end();
    contestant.timed.samples.push_back({repetition, index, std::ssize(part), result.timings, use});
    for (size_t i = 0; i < part.size(); ++i) {
      keep_output(contestant, repetition, index, i, result.outputs[i]);
    }
    session_.finish_batch();
  }

  int64_t num_batches() const { return std::ssize(prompts_) / batch_; }

  // The weights that the contestant's passes read, and those that they do not.
  void count_weights(Contestant& contestant) const {
    const LayerSet run = contestant.strategy->prefill_layers(session_.num_layers()) |
                         contestant.strategy->any_step_layers(session_.num_layers());
    MemoryRequest request{.batch = 1, .context = 1};
    for (int layer = 0; layer < session_.num_layers(); ++layer) {
      request.sublayers_run.push_back(run.attention(layer));
      request.sublayers_run.push_back(run.mlp(layer));
    }
    const MemoryPlan plan =
        plan_memory(session_.setup.model_of(*contestant.runnable.cell), request);
    contestant.timed.weight_bytes = plan.weight_bytes;
    contestant.timed.unread_weight_bytes = plan.unused_weight_bytes;
  }

  // Positions that a decoding step attends to, averaged over prompts and steps: step t sees the
  // prompt and t + 1 generated tokens.
  double mean_context() const {
    double sum = 0;
    for (const TokenIds& prompt : prompts_) sum += static_cast<double>(prompt.size());
    return sum / static_cast<double>(prompts_.size()) + options_.max_new_tokens / 2.0;
  }

  double bound(const Contestant& contestant, MeasuredPeaks peaks) const {
    const SweepSetup& setup = session_.setup;
    const CostModel model(setup.model_of(*contestant.runnable.cell), setup.config.model.dtype,
                          peaks, {batch_ * options_.beams.beams, mean_context()});
    const LayerSet all = LayerSet::all(session_.num_layers());
    const double full = model.step_seconds(all, KvPolicy::kAbsent);
    const SkipStrategy& strategy = *contestant.strategy;
    if (strategy.speculation() != nullptr) return speculative_bound(contestant, peaks, full);
    if (strategy.rule() == nullptr) {
      return full / model.static_seconds(strategy, options_.max_new_tokens - 1);
    }
    std::vector<LayersPerToken> layers;
    for (const OutputRecord& output : contestant.timed.outputs) layers.push_back(output.layers);
    double tests = 0, tokens = 0;
    for (const SampleRecord& sample : contestant.timed.samples) {
      tests += static_cast<double>(sample.timings.exit_tests);
      tokens += static_cast<double>(sample.timings.decode_tokens);
    }
    const double per_token = tokens > 0 ? tests / tokens : 0;
    return full / model.dynamic_seconds(layers, per_token, *strategy.rule(), strategy.kv_policy());
  }

 private:
  // `full_step` seconds for each token of a row against the drafting passes and checks that were
  // run; a check has as many rows as tokens were checked in it, on average.
  double speculative_bound(const Contestant& contestant, MeasuredPeaks peaks,
                           double full_step) const {
    const SweepSetup& setup = session_.setup;
    double rounds = 0, draft_passes = 0, drafted = 0, checked = 0, batches = 0;
    for (const SampleRecord& sample : contestant.timed.samples) {
      rounds += static_cast<double>(sample.timings.step_us.size());
      draft_passes += static_cast<double>(sample.timings.draft_passes);
      drafted += static_cast<double>(sample.timings.drafted);
      checked += static_cast<double>(sample.timings.drafted + sample.timings.verify_calls);
      ++batches;
    }
    const auto seconds = [&](double rows, const LayerSet& layers) {
      const CostModel model(setup.model_of(*contestant.runnable.cell), setup.config.model.dtype,
                            peaks, {std::max<int64_t>(1, std::llround(rows)), mean_context()});
      return model.step_seconds(layers, KvPolicy::kAbsent);
    };
    double spent = rounds * seconds(checked / rounds, LayerSet::all(session_.num_layers()));
    if (draft_passes > 0) {
      spent +=
          draft_passes * seconds(drafted / draft_passes, contestant.strategy->speculation()->draft);
    }
    return batches * (options_.max_new_tokens - 1) * full_step / spent;
  }

  Decoder& decoder(const Contestant& contestant) const {
    return session_.decoder(*contestant.runnable.cell);
  }
  std::span<const TokenIds> batch(int64_t index) const {
    return prompts_.subspan(index * batch_, batch_);
  }

  // Texts of the first repetition; the others must not differ, or times would not be comparable.
  void keep_output(Contestant& contestant, int64_t repetition, int64_t batch_index, size_t row,
                   const GenerateOutput& output) {
    const int64_t index = batch_index * batch_ + static_cast<int64_t>(row);
    auto& outputs = contestant.timed.outputs;
    if (repetition > 0) {
      if (outputs[index].tokens == output.tokens) return;
      throw Error(
          {.what = "the same prompts gave other tokens when they were decoded again",
           .where = cell_name(contestant.runnable.cell->key),
           .got = fmt::format("a difference in prompt {}, repetition {}", index, repetition)});
    }
    OutputRecord record;
    record.index = index;
    record.batch_index = batch_index;
    record.prompt_tokens = std::ssize(prompts_[index]);
    record.tokens = output.tokens;
    record.text = postprocess(session_.setup.tokenizer->decode_known(output.tokens, true), {}, {});
    record.references = session_.inputs(*contestant.runnable.cell).references[index];
    record.layers = output.layers_per_token;
    outputs.push_back(std::move(record));
  }

  const SweepSession& session_;
  std::span<const TokenIds> prompts_;
  int64_t batch_;
  GenerateOptions options_;  // no end of text: the length is forced
};

}  // namespace

void run_timing_group(const SweepSession& session, std::span<const RunnableCell> cells,
                      MeasuredPeaks peaks,
                      const std::function<void(RunnableCell, const Failure&)>& on_failure) {
  TimingGroup group(session, *cells.front().cell);
  std::vector<Contestant> contestants;
  // Runs one turn of every contestant; one that fails leaves the group.
  const auto for_each = [&](const auto& turn) {
    std::erase_if(contestants, [&](Contestant& contestant) {
      try {
        turn(contestant);
        return false;
      } catch (...) {
        const Failure failure = current_failure();
        on_failure(contestant.runnable, failure);
        if (failure.ends_sweep) throw;
      }
      return true;
    });
  };
  for (const RunnableCell& cell : cells) contestants.push_back({cell, nullptr, {.cell = cell.id}});
  for_each([&](Contestant& c) { c.strategy = strategy_of(session, c.runnable); });
  const TimingSection& timing = session.config().timing;
  for (int i = 0; i < timing.warmup; ++i) for_each([&](Contestant& c) { group.warm_up(c); });
  // Batch by batch, so that a machine that grows slower or faster within minutes does so for all
  // alike, however many they are.
  const int64_t turns = timing.repetitions * group.num_batches();
  for (int64_t turn = 0; turn < turns; ++turn) {
    const int64_t repetition = turn / group.num_batches();
    const int64_t batch = turn % group.num_batches();
    for_each([&](Contestant& c) { group.measure(c, repetition, batch); });
    // Each begins some turns: the one before leaves the caches as they are.
    if (contestants.size() > 1) std::ranges::rotate(contestants, contestants.begin() + 1);
    session.progress.set_share(static_cast<double>(turn + 1) / static_cast<double>(turns));
  }
  for_each([&](Contestant& c) {
    c.timed.bound = group.bound(c, peaks);
    group.count_weights(c);
  });
  std::vector<ResultStore::TimedCell> timed;
  for (Contestant& contestant : contestants) timed.push_back(std::move(contestant.timed));
  const Cell& first = *cells.front().cell;
  session.store.finish_group(session.run, first.key.dataset, first.key.batch, group.mean_context(),
                             timed);
}

}  // namespace skipbench
