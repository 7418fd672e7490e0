// Metrics of responses: each cell's strategy reads the references, teacher-forced, beside `full`.
#include "eval/store/response_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"
#include "eval/probe/divergence.h"
#include "eval/sweep/session.h"

namespace skipbench {
namespace {

void check_finite(std::span<const ResponseScore> scores, int64_t first) {
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isfinite(scores[i].nll) && std::isfinite(scores[i].kl)) continue;
    throw Error({.what = "the model's log-probabilities are not finite",
                 .where = fmt::format("reference of example {}", first + static_cast<int64_t>(i)),
                 .expected = "finite numbers",
                 .got = fmt::format("- log p = {}, KL = {}", scores[i].nll, scores[i].kl),
                 .hint = "a wider dtype (f32 or bf16 instead of f16) may help"});
  }
}

// One batch of responses, those without a token left out of the run.
void score_batch(const SweepSession& session, RunnableCell cell, const SkipStrategy& strategy,
                 const std::string& prefix, size_t begin, size_t count) {
  const SweepInputs& inputs = session.inputs(*cell.cell);
  const std::vector<TokenIds>& responses = inputs.responses.at(prefix);
  std::vector<ScoreRequest> requests;
  std::vector<size_t> places;
  for (size_t i = 0; i < count; ++i) {
    if (responses[begin + i].empty()) continue;
    requests.push_back(
        {inputs.prompts[begin + i], responses[begin + i], static_cast<int32_t>(begin + i)});
    places.push_back(i);
  }
  Cell base = *cell.cell;
  base.adapter.clear();  // the model that `full` runs
  BatchDivergence found;
  if (!requests.empty()) {
    found = measure_batch_divergence(
        {session.decoder(base).model(), session.decoder(*cell.cell).model()}, strategy, requests);
  }
  std::vector<ResponseScore> scores(count);
  int64_t tokens = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    scores[places[i]] = found.texts[i];
    tokens += found.texts[i].tokens;
  }
  session.progress.add_tokens(tokens);
  check_finite(scores, static_cast<int64_t>(begin));
  add_response_scores(session.store, cell.id, prefix, scores, found.steps);
}

}  // namespace

bool lacks_response_scores(const SweepSession& session, RunnableCell cell) {
  const int64_t total = std::ssize(session.inputs(*cell.cell).prompts);
  return std::ranges::any_of(response_prefixes(session.dataset(*cell.cell)),
                             [&](const std::string& prefix) {
                               return num_response_scores(session.store, cell.id, prefix) < total;
                             });
}

void measure_response_scores(const SweepSession& session, RunnableCell cell,
                             const SkipStrategy& strategy) {
  const size_t total = session.inputs(*cell.cell).prompts.size();
  const auto batch = static_cast<size_t>(cell.cell->key.batch);
  for (const std::string& prefix : response_prefixes(session.dataset(*cell.cell))) {
    auto begin = static_cast<size_t>(num_response_scores(session.store, cell.id, prefix));
    for (; begin < total; begin += batch) {
      const size_t count = std::min(batch, total - begin);
      score_batch(session, cell, strategy, prefix, begin, count);
      session.finish_batch();
    }
  }
}

}  // namespace skipbench
