// Quality cells: natural length, post-processed texts, corpus scores.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "datasets/postprocess.h"
#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/metrics/response_metrics.h"
#include "eval/store/response_scores.h"
#include "eval/sweep/interrupt.h"
#include "eval/sweep/session.h"

namespace skipbench {

void SweepSession::finish_batch() const {
  if (after_batch) after_batch();
  InterruptGuard::check();
}

namespace {

struct MetricAndSignature {
  std::unique_ptr<Metric> metric;
  std::string signature;  // "BLEU|nrefs:1|case:mixed|..."
};

MetricAndSignature metric_for(const MetricSpec& spec, const SweepInputs& inputs) {
  MetricAndSignature made{make_sweep_metric(spec.name, spec.options, spec.where), ""};
  const bool of_responses = find_response_metric(spec.name) != nullptr;  // the first reference
  size_t references = of_responses ? 1 : inputs.references.front().size();
  for (const auto& list : inputs.references) {
    if (!of_responses && list.size() != references) references = 0;  // they differ
  }
  made.signature = stored_signature(spec.name, *made.metric, static_cast<int>(references));
  return made;
}

std::vector<ScoreRecord> score_outputs(const SweepSession& session, RunnableCell cell,
                                       std::span<const OutputRecord> outputs) {
  std::vector<std::string> hypotheses;
  for (const OutputRecord& output : outputs) hypotheses.push_back(output.text);
  const SweepInputs& inputs = session.inputs(*cell.cell);
  std::vector<ScoreRecord> records;
  for (const MetricSpec& spec : session.dataset(*cell.cell).metrics) {
    const MetricAndSignature made = metric_for(spec, inputs);
    std::vector<Score> scores;
    if (find_response_metric(spec.name) != nullptr) {
      const auto responses = response_scores(session.store, cell.id, response_prefix(spec.options));
      scores = made.metric->scores(response_statistics(responses).sum());
    } else {
      scores = corpus_scores(*made.metric, hypotheses, inputs.references);
    }
    for (const Score& score : scores) {
      records.push_back({made.signature, score.name, score.score, score.precision, score.recall});
    }
  }
  return records;
}

OutputRecord output_record(const SweepSession& session, const Cell& cell, int64_t index,
                           int64_t batch_index, const GenerateOutput& output) {
  const DatasetSection& dataset = session.dataset(cell);
  const SweepInputs& inputs = session.inputs(cell);
  OutputRecord record;
  record.index = index;
  record.batch_index = batch_index;
  record.prompt_tokens = std::ssize(inputs.prompts[index]);
  record.tokens = output.tokens;
  record.text =
      postprocess(session.setup.tokenizer->decode_known(output.tokens, /*skip_special=*/true),
                  dataset.stop, dataset.post);
  record.references = inputs.references[index];
  record.layers = output.layers_per_token;
  return record;
}

}  // namespace

GenerateOptions natural_length(const SweepSetup& setup, const DatasetSection& dataset) {
  GenerateOptions options{.max_new_tokens = setup.config.max_new_tokens,
                          .end_of_text_ids = setup.loaded.config.end_of_text_ids,
                          .sampling = setup.config.sampling,
                          .beams = setup.config.beams};
  if (!dataset.stop.empty()) {
    options.stop = [&](size_t, std::span<const int32_t> tokens) {
      const std::string text = setup.tokenizer->decode_known(tokens, /*skip_special=*/true);
      return find_stop(text, dataset.stop) != std::string::npos;
    };
  }
  return options;
}

GenerateOptions natural_length(const SweepSession& session, const DatasetSection& dataset) {
  GenerateOptions options = natural_length(session.setup, dataset);
  options.on_tokens = [&](int tokens) { session.progress.add_tokens(tokens); };
  return options;
}

void run_quality_cell(const SweepSession& session, RunnableCell cell,
                      const SkipStrategy& strategy) {
  const auto& prompts = session.inputs(*cell.cell).prompts;
  const int64_t total = std::ssize(prompts), batch = cell.cell->key.batch;
  GenerateOptions options = natural_length(session, session.dataset(*cell.cell));
  // Batches are stored whole, so what is there ends at a batch's border. It may have been made with
  // another batch size: on the CPU that is the same cell.
  int64_t batch_index = session.store.num_batches(cell.id);
  for (int64_t begin = session.store.num_outputs(cell.id); begin < total;
       begin += batch, ++batch_index) {
    const int64_t count = std::min(batch, total - begin);
    const auto part = std::span(prompts).subspan(begin, count);
    options.first_text = static_cast<int32_t>(begin);
    const GenerateResult result = session.decoder(*cell.cell).generate(part, strategy, options);
    std::vector<OutputRecord> records;
    for (int64_t i = 0; i < count; ++i) {
      records.push_back(
          output_record(session, *cell.cell, begin + i, batch_index, result.outputs[i]));
    }
    session.store.add_batch(cell.id, records, {0, batch_index, count, result.timings});
    session.progress.set_share(static_cast<double>(begin + count) / static_cast<double>(total));
    session.finish_batch();
  }
  measure_response_scores(session, cell, strategy);
  const auto outputs = session.store.outputs(cell.id);
  session.store.finish_quality(cell.id, session.run, score_outputs(session, cell, outputs));
}

std::vector<std::string> asked_signatures(const DatasetSection& dataset,
                                          const SweepInputs& inputs) {
  std::vector<std::string> signatures;
  for (const MetricSpec& spec : dataset.metrics) {
    std::string signature = metric_for(spec, inputs).signature;
    if (std::find(signatures.begin(), signatures.end(), signature) == signatures.end()) {
      signatures.push_back(std::move(signature));
    }
  }
  return signatures;
}

bool lacks_scores(const SweepSession& session, RunnableCell cell) {
  const SweepInputs& inputs = session.inputs(*cell.cell);
  const auto& metrics = session.dataset(*cell.cell).metrics;
  return std::any_of(metrics.begin(), metrics.end(), [&](const MetricSpec& spec) {
    return !session.store.has_score(cell.id, metric_for(spec, inputs).signature);
  });
}

void score_stored_outputs(const SweepSession& session, RunnableCell cell) {
  if (lacks_response_scores(session, cell)) {
    measure_response_scores(session, cell, *strategy_of(session, cell));
  }
  const auto outputs = session.store.outputs(cell.id);
  session.store.finish_quality(cell.id, session.run, score_outputs(session, cell, outputs));
}

}  // namespace skipbench
