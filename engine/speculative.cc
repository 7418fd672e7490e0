#include "engine/speculative.h"

#include <algorithm>

#include "engine/base/clock.h"
#include "engine/batch_pass.h"

namespace skipbench {
namespace {

// A text that still grows. Its last token is known and not yet in the cache.
struct Drafter {
  int32_t sequence = 0;
  int32_t last_token = 0;
  int32_t length = 0;  // positions in the cache that the whole model has written
  int wanted = 0;      // tokens to draft in a round
  TokenIds drafted;    // of the round
  double layers = 0;   // run in the round, by its drafting passes and its check
  bool stopped = false;
};

class SpeculativeBatch {
 public:
  SpeculativeBatch(Model& model, const SkipStrategy& strategy, const KvCache& cache,
                   const GenerateOptions& options, GenerateResult& result)
      : model_(model),
        speculation_(*strategy.speculation()),
        cache_(cache),
        options_(options),
        result_(result),
        num_layers_(model.config().num_layers),
        all_(LayerSet::all(num_layers_)) {}

  void start(std::span<const BatchPass::Row> first, std::span<const TokenIds> prompts) {
    for (size_t i = 0; i < first.size(); ++i) {
      Drafter row;
      row.sequence = static_cast<int32_t>(i);
      row.length = static_cast<int32_t>(prompts[i].size());
      row.wanted = speculation_.first;
      if (!add_token(row, first[i].next.token, first[i].layers)) running_.push_back(row);
    }
    if (options_.on_tokens) options_.on_tokens(static_cast<int>(first.size()));
  }

  bool empty() const { return running_.empty(); }

  void round() {
    const Clock::time_point begin = Clock::now();
    draft();
    check();
    const double microseconds = microseconds_since(begin);
    const int made = accept();
    BatchTimings& timings = result_.timings;
    timings.step_us.push_back(microseconds);
    timings.decode_us += microseconds;
    timings.decode_tokens += made;
    if (options_.on_tokens) options_.on_tokens(made);
  }

 private:
  // Whether the text is finished with it.
  bool add_token(Drafter& row, int32_t token, double layers) {
    GenerateOutput& output = result_.outputs[static_cast<size_t>(row.sequence)];
    output.tokens.push_back(token);
    output.layers_per_token.push_back(layers);
    row.last_token = token;
    return is_finished(options_, static_cast<size_t>(row.sequence), output.tokens);
  }

  // The last token of a text is made by a check: what is drafted beyond it would be thrown away.
  int draft_length(const Drafter& row) const {
    const auto& tokens = result_.outputs[static_cast<size_t>(row.sequence)].tokens;
    const auto left = options_.max_new_tokens - static_cast<int>(tokens.size());
    return std::min(row.wanted, left - 1);
  }

  bool ends_text(int32_t token) const {
    const auto& ends = options_.end_of_text_ids;
    return std::find(ends.begin(), ends.end(), token) != ends.end();
  }

  // One pass per drafted token, over the rows that still want one.
  void draft() {
    for (Drafter& row : running_) {
      row.drafted.clear();
      row.layers = 0;
      row.stopped = false;
    }
    for (;;) {
      clear_pass();
      drafting_.clear();
      for (Drafter& row : running_) {
        const int place = static_cast<int>(row.drafted.size());
        if (row.stopped || place >= draft_length(row)) continue;
        drafting_.push_back(&row);
        add_row(row, place, place == 0 ? row.last_token : row.drafted.back());
      }
      if (drafting_.empty()) return;
      run_pass(speculation_.draft, "drafting pass");
      ++result_.timings.draft_passes;
      for (size_t i = 0; i < drafting_.size(); ++i) {
        drafting_[i]->drafted.push_back(next_[i].token);
        drafting_[i]->layers += layers_of_row(i);
        drafting_[i]->stopped =
            next_[i].top_probability < speculation_.stop_below || ends_text(next_[i].token);
      }
    }
  }

  // All layers on each row's last token and its drafted ones, at the positions of the draft: their
  // keys and values are the whole model's now.
  void check() {
    clear_pass();
    for (const Drafter& row : running_) {
      add_row(row, 0, row.last_token);
      for (size_t i = 0; i < row.drafted.size(); ++i) {
        add_row(row, static_cast<int>(i) + 1, row.drafted[i]);
      }
    }
    run_pass(all_, "checking pass");
    size_t place = 0;
    for (Drafter& row : running_) {
      for (size_t i = 0; i <= row.drafted.size(); ++i) row.layers += layers_of_row(place++);
    }
  }

  // Drafted tokens up to the first that the whole model would not have made, then its own. Returns
  // the number of tokens made.
  int accept() {
    size_t begin = 0;
    int made = 0;
    next_running_.clear();
    for (Drafter& row : running_) {
      const size_t count = row.drafted.size();
      const auto checked = std::span(next_).subspan(begin, count + 1);
      begin += count + 1;
      size_t accepted = 0;
      while (accepted < count && row.drafted[accepted] == checked[accepted].token) ++accepted;
      note(row, static_cast<int64_t>(count), static_cast<int64_t>(accepted));
      const auto [tokens, finished] = add_tokens(row, checked.first(accepted + 1), row.layers);
      made += tokens;
      if (finished) continue;
      row.length += static_cast<int32_t>(accepted) + 1;
      row.wanted = accepted == count ? std::min(row.wanted + 2, speculation_.most)
                                     : std::max(row.wanted - 1, 1);
      next_running_.push_back(row);
    }
    std::swap(running_, next_running_);
    return made;
  }

  // Tokens of a round until the text ends, the round's layers shared among them.
  std::pair<int, bool> add_tokens(Drafter& row, std::span<const NextToken> tokens, double layers) {
    bool finished = false;
    int made = 0;
    for (size_t i = 0; i < tokens.size() && !finished; ++i, ++made) {
      finished = add_token(row, tokens[i].token, 0);
    }
    auto& per_token = result_.outputs[static_cast<size_t>(row.sequence)].layers_per_token;
    std::fill(per_token.end() - made, per_token.end(), layers / made);
    return {made, finished};
  }

  void note(const Drafter& row, int64_t drafted, int64_t accepted) {
    GenerateOutput& output = result_.outputs[static_cast<size_t>(row.sequence)];
    output.drafted += drafted;
    output.accepted += accepted;
    ++output.verify_calls;
    result_.timings.drafted += drafted;
    result_.timings.accepted += accepted;
    ++result_.timings.verify_calls;
  }

  void clear_pass() {
    tokens_.clear();
    sequences_.clear();
    positions_.clear();
  }

  void add_row(const Drafter& row, int place, int32_t token) {
    tokens_.push_back(token);
    sequences_.push_back(row.sequence);
    positions_.push_back(row.length + place);
  }

  // The next token of every row of the pass into next_. `name`: of the pass, for messages.
  void run_pass(const LayerSet& layers, const char* name) {
    model_.begin_pass(tokens_, sequences_, positions_);
    const Model::RowRange rows{0, std::ssize(tokens_)};
    for (int layer = 0; layer < num_layers_; ++layer) {
      if (layers.attention(layer)) model_.run_attention(layer, cache_, rows);
      if (layers.mlp(layer)) model_.run_mlp(layer, rows);
    }
    check_ran(model_.counter().ran(), layers, name);
    // Draft and check draw with the same noise at a place, so that they agree as often as can be
    // and what is accepted is what the whole model draws.
    draw_texts_.clear();
    for (const int32_t sequence : sequences_) {
      draw_texts_.push_back(options_.first_text + sequence);
    }
    model_.next_tokens(model_.logits(), /*with_entropy=*/false,
                       {options_.sampling, draw_texts_.data(), positions_.data()}, next_);
  }

  // Run for a row of the latest pass, counted.
  double layers_of_row(size_t row) const { return model_.counter().sublayers()[row] / 2.0; }

  Model& model_;
  const Speculation& speculation_;
  const KvCache& cache_;
  const GenerateOptions& options_;
  GenerateResult& result_;
  int num_layers_;
  LayerSet all_;
  std::vector<Drafter> running_, next_running_;
  std::vector<Drafter*> drafting_;
  std::vector<int32_t> tokens_, sequences_, positions_, draw_texts_;
  std::vector<NextToken> next_;
};

}  // namespace

GenerateResult generate_speculatively(Model& model, std::span<const TokenIds> prompts,
                                      const SkipStrategy& strategy,
                                      const GenerateOptions& options) {
  GenerateResult result;
  result.outputs.resize(prompts.size());
  size_t longest = 0;
  for (const TokenIds& prompt : prompts) {
    longest = std::max(longest, prompt.size());
    result.timings.prompt_tokens += std::ssize(prompt);
  }
  BatchPass pass(model, strategy, prompts,
                 static_cast<int64_t>(longest) + options.max_new_tokens - 1);
  SpeculativeBatch batch(model, strategy, pass.cache(), options, result);
  pass.draw(options);
  const Clock::time_point begin = Clock::now();
  const auto first = pass.prefill({});
  result.timings.prefill_us = microseconds_since(begin);
  batch.start(first, prompts);
  if (options.after_prefill) options.after_prefill();
  while (!batch.empty()) batch.round();
  result.timings.kv_cache_bytes = pass.cache().bytes();
  return result;
}

}  // namespace skipbench
