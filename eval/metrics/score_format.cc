#include "eval/metrics/score_format.h"

#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

double rounded(double value, std::optional<int> digits) {
  if (!digits) return value;
  return std::strtod(fmt::format("{:.{}f}", value, *digits).c_str(), nullptr);
}

std::string fixed(double value, std::optional<int> digits) {
  return fmt::format("{:.{}f}", value, digits.value_or(1));
}

Json score_json(const ComparedScore& compared, const Signature& signature,
                std::optional<int> digits) {
  const Score& score = compared.score;
  Json object;
  object["name"] = score.name;
  object["score"] = rounded(score.score, digits);
  if (score.precision) object["precision"] = rounded(*score.precision, digits);
  if (score.recall) object["recall"] = rounded(*score.recall, digits);
  object["signature"] = format_signature(signature);
  if (compared.interval) {
    const ScoreInterval& interval = *compared.interval;
    object["confidence_mean"] = rounded(interval.mean, digits);
    object["confidence_var"] = rounded(interval.half_width, digits);
    object["confidence"] = fmt::format("μ = {} ± {}", fixed(interval.mean, digits),
                                       fixed(interval.half_width, digits));
  }
  if (!score.verbose.empty()) object["verbose_score"] = score.verbose;
  for (const auto& [key, value] : signature) object[key] = value;
  return object;
}

Json system_json(const std::string& name, size_t system, const std::vector<MetricReport>& reports,
                 std::optional<int> digits) {
  Json object;
  object["system"] = system == 0 ? "Baseline: " + name : name;
  for (const MetricReport& report : reports) {
    for (const ComparedScore& compared : report.systems[system]) {
      Json& entry = object[compared.score.name];
      entry["score"] = rounded(compared.score.score, digits);
      // p-values are never rounded: two digits would make 0.00 of most.
      entry["p_value"] = compared.p_value ? Json(*compared.p_value) : Json();
      const auto& interval = compared.interval;
      entry["mean"] = interval ? Json(rounded(interval->mean, digits)) : Json();
      entry["ci"] = interval ? Json(rounded(interval->half_width, digits)) : Json();
      entry["signature"] = format_signature(report.signature);
    }
  }
  return object;
}

// As sacreBLEU: NAME|SIGNATURE = SCORE (μ = MEAN ± HALF) VERBOSE.
std::string score_line(const ComparedScore& compared, const Signature& signature,
                       std::optional<int> digits) {
  std::string line = fmt::format("{}|{} = {}", compared.score.name, format_signature(signature),
                                 fixed(compared.score.score, digits));
  if (compared.interval) {
    line += fmt::format(" (μ = {} ± {})", fixed(compared.interval->mean, digits),
                        fixed(compared.interval->half_width, digits));
  }
  if (!compared.score.verbose.empty()) line += " " + compared.score.verbose;
  return line;
}

std::string cell_text(const ComparedScore& compared, std::optional<int> digits) {
  std::string text = fixed(compared.score.score, digits);
  if (compared.interval) {
    text += fmt::format(" ({} ± {})", fixed(compared.interval->mean, digits),
                        fixed(compared.interval->half_width, digits));
  }
  if (compared.p_value) {
    text += fmt::format(" (p = {:.4f}){}", *compared.p_value, *compared.p_value < 0.05 ? "*" : "");
  }
  return text;
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return width;
}

std::string text_table(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  std::string text;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += std::string(widths[i] - display_width(row[i]), ' ') + row[i];
      text += i + 1 < row.size() ? "  " : "\n";
    }
  }
  return text;
}

std::string latex_escaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (std::string_view("&%$#_{}").find(c) != std::string_view::npos) {
      out += {'\\', c};
    } else if (c == '\\') {
      out += "\\textbackslash{}";
    } else if (c == '~' || c == '^') {
      out += fmt::format("\\{}{{}}", c);
    } else if (text.substr(i).starts_with("±")) {
      out += "$\\pm$";
      ++i;
    } else {
      out += c;
    }
  }
  return out;
}

std::string latex_table(const std::vector<Row>& rows) {
  std::string text =
      fmt::format("\\begin{{tabular}}{{l{}}}\n\\toprule\n", std::string(rows[0].size() - 1, 'r'));
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t i = 0; i < rows[r].size(); ++i) {
      text += (i > 0 ? " & " : "") + latex_escaped(rows[r][i]);
    }
    text += r == 0 ? " \\\\\n\\midrule\n" : " \\\\\n";
  }
  return text + "\\bottomrule\n\\end{tabular}";
}

std::string table(const std::vector<Row>& rows, ScoreFormat format) {
  return format == ScoreFormat::kLatex ? latex_table(rows) : text_table(rows);
}

}  // namespace

ScoreFormat parse_score_format(std::string_view name, const std::string& where) {
  const std::vector<std::string> known = {"json", "text", "latex"};
  for (size_t i = 0; i < known.size(); ++i) {
    if (name == known[i]) return static_cast<ScoreFormat>(i);
  }
  throw unknown_name("format", name, known, where);
}

std::string format_system(const std::vector<MetricReport>& reports, ScoreFormat format,
                          std::optional<int> digits) {
  if (format == ScoreFormat::kLatex) return format_systems({"system"}, reports, format, digits);
  Json list = Json::array();
  std::string text;
  for (const MetricReport& report : reports) {
    for (const ComparedScore& compared : report.systems[0]) {
      if (format == ScoreFormat::kJson) {
        list.push_back(score_json(compared, report.signature, digits));
      } else {
        if (!text.empty()) text += '\n';
        text += score_line(compared, report.signature, digits);
      }
    }
  }
  return format == ScoreFormat::kJson ? list.dump(1) : text;
}

std::string format_systems(const std::vector<std::string>& names,
                           const std::vector<MetricReport>& reports, ScoreFormat format,
                           std::optional<int> digits) {
  if (format == ScoreFormat::kJson) {
    Json list = Json::array();
    for (size_t i = 0; i < names.size(); ++i) {
      list.push_back(system_json(names[i], i, reports, digits));
    }
    return list.dump(1);
  }
  std::vector<Row> rows(1 + names.size());
  rows[0].push_back("System");
  std::string signatures;
  for (size_t i = 0; i < names.size(); ++i) {
    rows[1 + i].push_back(i == 0 && names.size() > 1 ? "Baseline: " + names[i] : names[i]);
  }
  for (const MetricReport& report : reports) {
    for (size_t score = 0; score < report.systems[0].size(); ++score) {
      rows[0].push_back(report.systems[0][score].score.name);
      signatures += fmt::format("{}{}: {}", format == ScoreFormat::kLatex ? "\n% " : "\n",
                                rows[0].back(), format_signature(report.signature));
      for (size_t i = 0; i < names.size(); ++i) {
        rows[1 + i].push_back(cell_text(report.systems[i][score], digits));
      }
    }
  }
  return table(rows, format) + signatures;
}

std::string format_sentences(const std::vector<std::string>& score_names,
                             const std::vector<std::vector<double>>& scores, ScoreFormat format,
                             std::optional<int> digits) {
  const size_t n_segments = scores.at(0).size();
  if (format == ScoreFormat::kJson) {
    Json list = Json::array();
    for (size_t i = 0; i < n_segments; ++i) {
      Json object = {{"segment", i + 1}};
      for (size_t s = 0; s < scores.size(); ++s) {
        object[score_names[s]] = rounded(scores[s][i], digits);
      }
      list.push_back(std::move(object));
    }
    return list.dump(1);
  }
  std::vector<Row> rows = {{"segment"}};
  rows[0].insert(rows[0].end(), score_names.begin(), score_names.end());
  for (size_t i = 0; i < n_segments; ++i) {
    rows.push_back({std::to_string(i + 1)});
    for (const std::vector<double>& column : scores) {
      rows.back().push_back(fixed(column[i], digits));
    }
  }
  return table(rows, format);
}

}  // namespace skipbench
