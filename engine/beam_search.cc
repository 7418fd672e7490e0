#include "engine/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/batch_pass.h"

namespace skipbench {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

struct Candidate {
  double score = kImpossible;  // sum of log-probabilities
  int beam = 0;
  int32_t token = 0;
  bool ends = false;
};

// Enough to go on with if as many end as can.
size_t candidates_per_text(const GenerateOptions& options) {
  return static_cast<size_t>(beam_candidates(options.beams, options.end_of_text_ids.size()));
}

struct Beam {
  TokenIds tokens;  // new ones
  double score = 0;
};

// What a row's logits exceed its log-probabilities by, from what the pass says of its best token.
double log_norm(const NextToken& next) {
  return static_cast<double>(next.top_logit) - std::log(static_cast<double>(next.top_probability));
}

// Makes every token impossible that would complete an n-gram of prompt and text a second time.
void forbid_repeats(std::span<const int32_t> prompt, std::span<const int32_t> tokens, int n,
                    std::span<float> logits) {
  std::vector<int32_t> all(prompt.begin(), prompt.end());
  all.insert(all.end(), tokens.begin(), tokens.end());
  const auto head = static_cast<size_t>(n - 1);
  if (all.size() < static_cast<size_t>(n)) return;
  const auto last = all.end() - static_cast<ptrdiff_t>(head);
  for (size_t i = 0; i + head < all.size(); ++i) {
    if (!std::equal(last, all.end(), all.begin() + static_cast<ptrdiff_t>(i))) continue;
    logits[all[i + head]] = -std::numeric_limits<float>::infinity();
  }
}

// One prompt's beams and finished texts.
class TextBeams {
 public:
  TextBeams(const TokenIds& prompt, size_t text, const GenerateOptions& options)
      : prompt_(prompt),
        text_(text),
        options_(options),
        count_(static_cast<size_t>(options.beams.beams)),
        running_(1) {}  // at first there is one beam

  bool is_done() const { return is_done_; }
  std::span<const Beam> running() const { return running_; }
  // Of each running beam the one that it continues.
  std::span<const int> parents() const { return parents_; }
  // Of a text that is done. None may have ended: where every n-gram repeats, the best open beam.
  const TokenIds& best() const { return (finished_.empty() ? running_ : finished_)[0].tokens; }

  // One token further. `rows`: what the pass says of the beams that there are; `logits`: theirs,
  // [rows, vocab], overwritten.
  void advance(std::span<const BatchPass::Row> rows, std::span<float> logits) {
    const size_t vocab = logits.size() / rows.size();
    const size_t kept = candidates_per_text(options_);
    std::vector<Candidate> candidates;
    for (size_t beam = 0; beam < rows.size(); ++beam) {
      const std::span<float> row = logits.subspan(beam * vocab, vocab);
      if (options_.beams.no_repeat_ngram > 0) {
        forbid_repeats(prompt_, running_[beam].tokens, options_.beams.no_repeat_ngram, row);
      }
      add_best(static_cast<int>(beam), row, log_norm(rows[beam].next), kept, candidates);
    }
    keep_best(candidates, kept);
    if (candidates[0].score == kImpossible) {
      is_done_ = true;
      if (running_[0].tokens.empty()) running_[0].tokens = {rows[0].next.token};
      return;
    }
    const size_t length = running_[0].tokens.size() + 1;
    for (Candidate& candidate : candidates) candidate.ends = ends_text(candidate);
    finish(candidates, length);
    go_on(candidates);
    decide(length);
  }

 private:
  static bool is_better(const Candidate& a, const Candidate& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.beam != b.beam ? a.beam < b.beam : a.token < b.token;
  }

  static void keep_best(std::vector<Candidate>& candidates, size_t most) {
    const size_t count = std::min(most, candidates.size());
    std::partial_sort(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(count),
                      candidates.end(), is_better);
    candidates.resize(count);
  }

  // The `most` best continuations of one beam, behind what `candidates` holds. A logit that is not
  // above the worst of those found so far is passed over: its token comes later.
  void add_best(int beam, std::span<const float> logits, double norm, size_t most,
                std::vector<Candidate>& candidates) const {
    const auto is_greater = [&](int32_t a, int32_t b) {
      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    };
    std::vector<int32_t> heap;  // the worst on top
    const auto vocab = static_cast<int32_t>(logits.size());
    for (int32_t token = 0; token < vocab; ++token) {
      if (heap.size() == most) {
        if (!(logits[token] > logits[heap.front()])) continue;
        std::pop_heap(heap.begin(), heap.end(), is_greater);
        heap.pop_back();
      }
      heap.push_back(token);
      std::push_heap(heap.begin(), heap.end(), is_greater);
    }
    const double score = running_[static_cast<size_t>(beam)].score;
    for (const int32_t token : heap) {
      candidates.push_back({score + (logits[token] - norm), beam, token});
    }
  }

  TokenIds tokens_of(const Candidate& candidate) const {
    TokenIds tokens = running_[static_cast<size_t>(candidate.beam)].tokens;
    tokens.push_back(candidate.token);
    return tokens;
  }

  bool ends_text(const Candidate& candidate) const {
    return is_finished(options_, text_, tokens_of(candidate));
  }

  bool is_full() const { return finished_.size() == count_; }

  double normalised(double score, size_t length) const {
    return score / std::pow(static_cast<double>(length), options_.beams.length_penalty);
  }

  // Texts that end within the best `beams` candidates; those behind them are there to go on with.
  void finish(std::span<const Candidate> candidates, size_t length) {
    if (options_.beams.early_stopping == EarlyStopping::kAll && is_full()) return;
    for (size_t i = 0; i < std::min(count_, candidates.size()); ++i) {
      if (!candidates[i].ends) continue;
      finished_.push_back({tokens_of(candidates[i]), normalised(candidates[i].score, length)});
    }
    std::stable_sort(finished_.begin(), finished_.end(),
                     [](const Beam& a, const Beam& b) { return a.score > b.score; });
    finished_.resize(std::min(count_, finished_.size()));
  }

  // Fewer beams than before where more candidates end than there are to spare.
  void go_on(std::span<const Candidate> candidates) {
    std::vector<Beam> next;
    parents_.clear();
    for (const Candidate& candidate : candidates) {
      if (candidate.ends || next.size() == count_) continue;
      next.push_back({tokens_of(candidate), candidate.score});
      parents_.push_back(candidate.beam);
    }
    is_done_ = next.empty();
    if (!is_done_) running_ = std::move(next);
  }

  void decide(size_t length) {
    if (is_done_) return;
    const BeamOptions& beams = options_.beams;
    const bool may_grow = beams.early_stopping == EarlyStopping::kNever && beams.length_penalty > 0;
    const size_t most = may_grow ? static_cast<size_t>(options_.max_new_tokens) : length;
    is_done_ = is_full() && (beams.early_stopping == EarlyStopping::kAll ||
                             normalised(running_[0].score, most) <= finished_.back().score);
  }

  const TokenIds& prompt_;
  size_t text_;
  const GenerateOptions& options_;
  size_t count_;
  std::vector<Beam> running_;   // at most `count_`, the best first
  std::vector<Beam> finished_;  // likewise
  std::vector<int> parents_;
  bool is_done_ = false;
};

// Whose memory holds which position of which beam, on the host and the device. The device's copy is
// written by its queue alone: steps that were queued before still read what it held then.
class PositionTable {
 public:
  PositionTable(Backend& backend, std::span<const TokenIds> prompts, int beams, int64_t capacity)
      : backend_(backend),
        beams_(beams),
        capacity_(capacity),
        table_(prompts.size() * static_cast<size_t>(beams) * static_cast<size_t>(capacity)),
        device_(backend.allocate(table_.size() * sizeof(int32_t))) {
    for (size_t text = 0; text < prompts.size(); ++text) {
      for (int beam = 0; beam < beams; ++beam) {
        const auto first = static_cast<int32_t>(text) * beams;
        const std::span<int32_t> row = row_of(first + beam);
        std::fill(row.begin(), row.end(), first + beam);
        std::fill_n(row.begin(), prompts[text].size(), first);  // the prompt is read once
      }
    }
  }

  const int32_t* device() const { return static_cast<const int32_t*>(device_.get()); }

  // Beam b of the text whose first sequence is `first` goes on from parents[b]; `filled` positions
  // are written.
  void inherit(int32_t first, std::span<const int> parents, int64_t filled) {
    const auto begin = static_cast<size_t>(first) * static_cast<size_t>(capacity_);
    const auto size = static_cast<size_t>(beams_ * capacity_);
    const auto rows = std::span(table_).subspan(begin, size);
    old_.assign(rows.begin(), rows.end());
    for (size_t beam = 0; beam < parents.size(); ++beam) {
      if (parents[beam] == static_cast<int>(beam)) continue;
      const auto from = old_.begin() + parents[beam] * capacity_;
      std::copy_n(from, filled, row_of(first + static_cast<int32_t>(beam)).begin());
      changed_begin_ = std::min(changed_begin_, begin);
      changed_end_ = std::max(changed_end_, begin + size);
    }
  }

  // Queues the copy of what has changed since the last call; the first one copies all.
  void upload() {
    if (changed_begin_ >= changed_end_) return;
    const auto changed = std::span(table_).subspan(changed_begin_, changed_end_ - changed_begin_);
    backend_.upload(static_cast<int32_t*>(device_.get()) + changed_begin_, changed.data(),
                    changed.size_bytes());
    changed_begin_ = table_.size();
    changed_end_ = 0;
  }

 private:
  std::span<int32_t> row_of(int32_t sequence) {
    return std::span(table_).subspan(static_cast<size_t>(sequence * capacity_),
                                     static_cast<size_t>(capacity_));
  }

  Backend& backend_;
  int beams_;
  int64_t capacity_;
  std::vector<int32_t> table_;  // [sequences, capacity]
  std::vector<int32_t> old_;    // of one text, [beams, capacity]
  DeviceBuffer device_;         // as table_
  size_t changed_begin_ = 0;    // entries of table_ that the device does not have yet
  size_t changed_end_ = table_.size();
};

void check_can_search(Model& model, const SkipStrategy& strategy, const GenerateOptions& options) {
  const auto refuse = [](const char* what, const char* expected) {
    throw Error({.what = what, .where = "beams", .expected = expected});
  };
  if (strategy.rule() != nullptr || strategy.speculation() != nullptr) {
    refuse("beam search needs a strategy whose layers do not depend on the text",
           "another strategy, or one beam");
  }
  if (!options.sampling.is_greedy()) refuse("beam search draws no tokens", "temperature 0");
  check_beam_candidates(options.beams, options.end_of_text_ids.size(), model.config().vocab_size,
                        "beams");
}

}  // namespace

GenerateResult generate_with_beams(Model& model, std::span<const TokenIds> prompts,
                                   const SkipStrategy& strategy, const GenerateOptions& options) {
  check_beams(options.beams, "beams");
  check_can_search(model, strategy, options);
  const int count = options.beams.beams;
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  size_t longest = 0;
  for (const TokenIds& prompt : prompts) longest = std::max(longest, prompt.size());
  const auto capacity = static_cast<int64_t>(longest) + options.max_new_tokens - 1;
  BatchPass pass(model, strategy, prompts, capacity, count);
  pass.keep_logits();
  PositionTable table(model.backend(), prompts, count, capacity);
  GenerateResult result;
  BatchTimings& timings = result.timings;
  std::vector<TextBeams> texts;
  for (size_t i = 0; i < prompts.size(); ++i) {
    texts.emplace_back(prompts[i], i, options);
    timings.prompt_tokens += std::ssize(prompts[i]);
  }
  std::vector<LayersPerToken> layers(prompts.size());
  std::vector<int32_t> sequences, tokens;
  std::vector<size_t> open(prompts.size());
  for (size_t i = 0; i < open.size(); ++i) open[i] = i;

  // The open texts take the rows of their beams, in order; those that are done leave.
  const auto advance = [&](std::span<const BatchPass::Row> rows, int64_t step) {
    const std::span<float> logits = pass.logits();
    size_t first = 0;
    for (const size_t i : open) {
      TextBeams& text = texts[i];
      const size_t beams = text.running().size();
      layers[i].push_back(rows[first].layers);
      text.advance(rows.subspan(first, beams), logits.subspan(first * vocab, beams * vocab));
      first += beams;
      if (text.is_done()) continue;
      table.inherit(static_cast<int32_t>(i) * count, text.parents(), std::ssize(prompts[i]) + step);
    }
    if (options.on_tokens) options.on_tokens(static_cast<int>(open.size()));
    std::erase_if(open, [&](size_t text) { return texts[text].is_done(); });
  };

  Clock::time_point begin = Clock::now();
  const auto first = pass.prefill({});
  advance(first, 0);
  timings.prefill_us = microseconds_since(begin);
  if (options.after_prefill) options.after_prefill();
  pass.share_positions(table.device());
  for (int step = 0; !open.empty(); ++step) {
    begin = Clock::now();
    sequences.clear();
    tokens.clear();
    for (const size_t text : open) {
      auto sequence = static_cast<int32_t>(text) * count;
      for (const Beam& beam : texts[text].running()) {
        pass.set_length(sequence, static_cast<int32_t>(prompts[text].size()) + step);
        sequences.push_back(sequence++);
        tokens.push_back(beam.tokens.back());
      }
    }
    table.upload();
    advance(pass.step(step, {sequences, tokens, {}}), step + 1);
    timings.step_us.push_back(microseconds_since(begin));
    timings.decode_us += timings.step_us.back();
  }
  timings.kv_cache_bytes = pass.cache().bytes();
  for (size_t i = 0; i < texts.size(); ++i) {
    GenerateOutput& output = result.outputs.emplace_back();
    output.tokens = texts[i].best();
    layers[i].resize(output.tokens.size());
    output.layers_per_token = std::move(layers[i]);
    timings.decode_tokens += std::ssize(output.tokens) - 1;
  }
  return result;
}

}  // namespace skipbench
