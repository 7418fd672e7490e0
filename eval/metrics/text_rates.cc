#include "eval/metrics/text_rates.h"

#include <algorithm>
#include <set>

#include "engine/base/error.h"
#include "engine/base/utf8.h"
#include "eval/metrics/tokenize.h"

namespace skipbench {
namespace {

enum class Unit { kCharacter, kWord };

Unit read_unit(MetricOptionReader* reader, const std::string& fallback) {
  const std::string name = reader->text("unit", fallback);
  if (name == "char") return Unit::kCharacter;
  if (name == "word") return Unit::kWord;
  const std::vector<std::string> known = {"char", "word"};
  throw unknown_name("unit", name, known, reader->key_path("unit"));
}

const char* unit_name(Unit unit) { return unit == Unit::kWord ? "word" : "char"; }

// The units of `text`; views into *list or `text`.
std::vector<std::string_view> split_units(std::string_view text, Unit unit, TokenList* list) {
  if (unit == Unit::kWord) {
    tokenize_none(text, list);
    return list->tokens;
  }
  std::vector<std::string_view> units;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    next_code_point(text, &at);
    units.push_back(text.substr(start, at - start));
  }
  return units;
}

double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0.0; }

class Repetition : public Metric {
 public:
  Repetition(int order, Unit unit) : order_(order), unit_(unit) {}
  int n_stats() const override { return 2; }
  bool higher_is_better() const override { return false; }

  void segment_stats(std::string_view hypothesis, std::span<const std::string>,
                     std::span<double> stats) const override {
    TokenList list;
    const std::vector<std::string_view> units = split_units(hypothesis, unit_, &list);
    std::set<std::vector<std::string_view>> seen;
    const size_t order = order_;
    size_t n_grams = 0;
    for (size_t i = 0; i + order <= units.size(); ++i, ++n_grams) {
      seen.insert(std::vector(units.begin() + i, units.begin() + i + order));
    }
    stats[0] = static_cast<double>(n_grams - seen.size());
    stats[1] = static_cast<double>(n_grams);
  }

  std::vector<Score> scores(std::span<const double> sums) const override {
    return {{.name = "Repetition", .score = percent(sums[0], sums[1])}};
  }
  Signature settings() const override {
    return {{"order", std::to_string(order_)}, {"unit", unit_name(unit_)}};
  }

 private:
  int order_;
  Unit unit_;
};

class LengthRatio : public Metric {
 public:
  explicit LengthRatio(Unit unit) : unit_(unit) {}
  int n_stats() const override { return 2; }

  void segment_stats(std::string_view hypothesis, std::span<const std::string> references,
                     std::span<double> stats) const override {
    TokenList list;
    const auto length = [&](std::string_view text) {
      return static_cast<double>(split_units(text, unit_, &list).size());
    };
    stats[0] = length(hypothesis);
    stats[1] = 0;
    for (const std::string& reference : references) stats[1] += length(reference);
    stats[1] /= static_cast<double>(references.size());
  }

  std::vector<Score> scores(std::span<const double> sums) const override {
    return {{.name = "LengthRatio", .score = percent(sums[0], sums[1])}};
  }
  Signature settings() const override { return {{"unit", unit_name(unit_)}}; }

 private:
  Unit unit_;
};

class Difference : public Metric {
 public:
  int n_stats() const override { return 2; }
  bool higher_is_better() const override { return false; }

  void segment_stats(std::string_view hypothesis, std::span<const std::string> references,
                     std::span<double> stats) const override {
    const bool equal =
        std::find(references.begin(), references.end(), hypothesis) != references.end();
    stats[0] = equal ? 0 : 1;
    stats[1] = 1;
  }

  std::vector<Score> scores(std::span<const double> sums) const override {
    return {{.name = "Difference", .score = percent(sums[0], sums[1])}};
  }
  Signature settings() const override { return {{"equal", "bytes"}}; }
};

}  // namespace

std::unique_ptr<Metric> make_repetition(const MetricOptions& options, const std::string& where) {
  MetricOptionReader reader(options, where);
  const int order = reader.integer("order", 4, 1, 64);
  const Unit unit = read_unit(&reader, "word");
  reader.finish();
  return std::make_unique<Repetition>(order, unit);
}

std::unique_ptr<Metric> make_length_ratio(const MetricOptions& options, const std::string& where) {
  MetricOptionReader reader(options, where);
  const Unit unit = read_unit(&reader, "char");
  reader.finish();
  return std::make_unique<LengthRatio>(unit);
}

std::unique_ptr<Metric> make_difference(const MetricOptions& options, const std::string& where) {
  MetricOptionReader(options, where).finish();
  return std::make_unique<Difference>();
}

}  // namespace skipbench
