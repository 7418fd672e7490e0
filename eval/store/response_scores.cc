#include "eval/store/response_scores.h"

#include <map>

namespace skipbench {
namespace {

constexpr int64_t kPrefill = -1;  // as a step

void add_drift(Database& database, int64_t cell, const std::string& prefix,
               std::span<const StepSums> steps) {
  Statement step_row(database,
                     "INSERT INTO step_drift(cell_id, prefix, step, texts, layers, kl, agreeing)"
                     " VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT(cell_id, prefix, step) DO UPDATE SET"
                     " texts = texts + excluded.texts, layers = layers + excluded.layers,"
                     " kl = kl + excluded.kl, agreeing = agreeing + excluded.agreeing");
  Statement layer_row(database,
                      "INSERT INTO layer_drift(cell_id, prefix, step, layer, cosine, norm_ratio)"
                      " VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(cell_id, prefix, step, layer) DO"
                      " UPDATE SET cosine = cosine + excluded.cosine,"
                      " norm_ratio = norm_ratio + excluded.norm_ratio");
  int64_t step = kPrefill;
  for (const StepSums& sums : steps) {
    step_row.bind(cell, prefix, step, sums.texts, sums.layers, sums.kl, sums.agreeing).run();
    for (size_t layer = 0; layer < sums.cosine.size(); ++layer) {
      layer_row
          .bind(cell, prefix, step, static_cast<int64_t>(layer), sums.cosine[layer],
                sums.norm_ratio[layer])
          .run();
    }
    ++step;
  }
}

}  // namespace

int64_t num_response_scores(ResultStore& store, int64_t cell, const std::string& prefix) {
  Statement statement(store.database(),
                      "SELECT count(*) FROM response_scores WHERE cell_id = ? AND prefix = ?");
  statement.bind(cell, prefix).step();
  return statement.integer(0);
}

std::vector<ResponseScore> response_scores(ResultStore& store, int64_t cell,
                                           const std::string& prefix) {
  Statement statement(store.database(),
                      "SELECT tokens, nll, kl, agreeing FROM response_scores"
                      " WHERE cell_id = ? AND prefix = ? ORDER BY idx");
  statement.bind(cell, prefix);
  std::vector<ResponseScore> scores;
  while (statement.step()) {
    scores.push_back(
        {statement.integer(0), statement.real(1), statement.real(2), statement.integer(3)});
  }
  return scores;
}

void add_response_scores(ResultStore& store, int64_t cell, const std::string& prefix,
                         std::span<const ResponseScore> scores, std::span<const StepSums> steps) {
  Database& database = store.database();
  Transaction transaction(database);
  int64_t index = num_response_scores(store, cell, prefix);
  for (const ResponseScore& score : scores) {
    Statement(database,
              "INSERT INTO response_scores(cell_id, prefix, idx, tokens, nll, kl, agreeing)"
              " VALUES(?, ?, ?, ?, ?, ?, ?)")
        .bind(cell, prefix, index++, score.tokens, score.nll, score.kl, score.agreeing)
        .run();
  }
  add_drift(database, cell, prefix, steps);
  transaction.commit();
}

std::vector<std::string> measured_prefixes(ResultStore& store, int64_t cell) {
  Statement rows(store.database(),
                 "SELECT DISTINCT prefix FROM response_scores WHERE cell_id = ? ORDER BY prefix");
  rows.bind(cell);
  std::vector<std::string> prefixes;
  while (rows.step()) prefixes.push_back(rows.text(0));
  return prefixes;
}

StoredDrift stored_drift(ResultStore& store, int64_t cell, const std::string& prefix) {
  std::map<int64_t, StepSums> by_step;
  Statement steps(store.database(),
                  "SELECT step, texts, layers, kl, agreeing FROM step_drift"
                  " WHERE cell_id = ? AND prefix = ?");
  steps.bind(cell, prefix);
  while (steps.step()) {
    by_step[steps.integer(0)] = {.texts = steps.integer(1),
                                 .layers = steps.real(2),
                                 .kl = steps.real(3),
                                 .agreeing = steps.integer(4)};
  }
  Statement layers(store.database(),
                   "SELECT step, cosine, norm_ratio FROM layer_drift"
                   " WHERE cell_id = ? AND prefix = ? ORDER BY step, layer");
  layers.bind(cell, prefix);
  while (layers.step()) {
    StepSums& step = by_step[layers.integer(0)];
    step.cosine.push_back(layers.real(1));
    step.norm_ratio.push_back(layers.real(2));
  }
  StoredDrift drift;
  for (const auto& [step, sums] : by_step) {
    drift.steps.push_back(sums);
    if (step != kPrefill) drift.decoding.add(sums);
  }
  if (!by_step.empty() && by_step.begin()->first < kPrefill) drift.steps.clear();
  return drift;
}

}  // namespace skipbench
