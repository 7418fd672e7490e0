#include "eval/store/response_scores.h"

#include <nlohmann/json.hpp>

namespace skipbench {
namespace {

using Json = nlohmann::json;

LayerDrift parsed_drift(int64_t tokens, const std::string& sums, const std::string& path) {
  const Json json = Json::parse(sums, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("cosine") || !json.contains("norm_ratio")) {
    throw StoreError({.what = "a broken row of layer_drift",
                      .where = path,
                      .hint = "delete the row; the next run measures it again"});
  }
  return {tokens, json["cosine"].get<std::vector<double>>(),
          json["norm_ratio"].get<std::vector<double>>()};
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
                         std::span<const ResponseScore> scores, const LayerDrift& drift) {
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
  LayerDrift sum;
  {
    Statement known(database,
                    "SELECT tokens, sums FROM layer_drift WHERE cell_id = ? AND prefix = ?");
    known.bind(cell, prefix);
    if (known.step()) sum = parsed_drift(known.integer(0), known.text(1), database.path());
  }
  sum.add(drift);
  const Json sums = {{"cosine", sum.cosine}, {"norm_ratio", sum.norm_ratio}};
  Statement(database,
            "INSERT OR REPLACE INTO layer_drift(cell_id, prefix, tokens, sums) VALUES(?, ?, ?, ?)")
      .bind(cell, prefix, sum.tokens, sums.dump())
      .run();
  transaction.commit();
}

std::optional<LayerDrift> layer_drift(ResultStore& store, int64_t cell) {
  Statement statement(store.database(),
                      "SELECT tokens, sums FROM layer_drift WHERE cell_id = ? AND tokens > 0"
                      " ORDER BY prefix LIMIT 1");
  if (!statement.bind(cell).step()) return std::nullopt;
  return parsed_drift(statement.integer(0), statement.text(1), store.database().path());
}

}  // namespace skipbench
