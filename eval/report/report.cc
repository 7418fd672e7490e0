#include "eval/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "eval/report/html.h"
#include "eval/report/notes.h"
#include "eval/report/render.h"
#include "eval/report/report_style.h"
#include "eval/report/result_plots.h"
#include "eval/report/samples.h"
#include "eval/report/word_diff.h"

namespace skipbench {
namespace {

std::string list_of(const std::vector<std::string>& notes) {
  std::string text = "<ul class=notes>\n";
  for (const std::string& note : notes) text += "<li>" + html_note(note) + "</li>\n";
  return text + "</ul>\n";
}

std::string title_of(const ResultTable& table) {
  return table.config.name.empty() ? table.run.model : table.config.name;
}

std::string tables_section(const ResultTable& table) {
  std::string text = "<h2>Quality and speed</h2>\n";
  const TableLayout layout;
  for (const Grid& grid : table_grids(table, layout)) {
    text += "<h3>" + escaped_html(grid.title) + "</h3>\n" + html_grid(grid);
  }
  if (datasets_of(table).size() > 1) {
    text += "<h3>All data sets side by side</h3>\n";
    for (const Grid& grid : table_grids(table, {.name = "paper"})) text += html_grid(grid);
  }
  if (!table.comparison.empty()) {
    text += "<p class=notes>" + html_note(table.comparison) + "</p>\n";
  }
  if (table.shows_correction && !table.correction.empty()) {
    text += "<p class=notes>" + html_note(table.correction) + "</p>\n";
  }
  const std::vector<std::string> reading = reading_notes(table);
  if (!reading.empty()) text += list_of(reading);
  return text + "<details><summary>What the columns mean</summary>\n" +
         list_of(column_definitions(table, layout)) + "</details>\n";
}

// Panel by panel, so that each is legible on a phone. Every one names all series: one series has
// one colour and marker throughout.
std::vector<Plot> single_panels(const Plot& plot) {
  std::vector<Plot> plots;
  for (const PlotPanel& panel : plot.panels) {
    Plot single = plot;
    single.panels = {panel};
    single.panel_width = 290;  // text stays legible when a phone shows all of it
    single.panel_height = 250;
    single.panels[0].series.clear();
    for (const PlotPanel& other : plot.panels) {
      for (const PlotSeries& series : other.series) {
        const auto same = [&](const PlotSeries& one) { return one.name == series.name; };
        if (std::any_of(single.panels[0].series.begin(), single.panels[0].series.end(), same)) {
          continue;
        }
        const auto own = std::find_if(panel.series.begin(), panel.series.end(), same);
        single.panels[0].series.push_back(series);
        if (own == panel.series.end()) {
          single.panels[0].series.back().points.clear();
        } else {
          single.panels[0].series.back() = *own;
        }
      }
    }
    plots.push_back(std::move(single));
  }
  return plots;
}

std::string plot_name(const std::string& kind) {
  if (kind == "pareto") return "Quality against speed";
  if (kind == "target") return "Achieved against asked-for speedup";
  if (kind == "batch") return "Speed against batch size";
  if (kind == "similarity") return "Hidden states against full's";
  if (kind == "divergence") return "Distributions against full's";
  if (kind == "steps") return "Hidden states against full's by layer and token";
  return kind;
}

std::string figures(const ResultTable& table, const std::string& kind) {
  std::string text;
  for (const Plot& single : single_panels(possible_plot(table, {.kind = kind}))) {
    const PlotPanel& panel = single.panels[0];
    const std::string measure = panel.y_label.empty() ? "" : ", " + panel.y_label;
    const std::string name =
        escaped_html(fmt::format("{}: {}{}", plot_name(kind), panel.title, measure));
    text += fmt::format(
        "<figure><img alt=\"{}\" src=\"data:image/svg+xml;base64,{}\"><figcaption "
        "class=muted>{}</figcaption></figure>\n",
        name, base64(drawn_plot(single, "svg")), name);
  }
  return text;
}

std::string plots_section(const ResultTable& table) {
  try {
    std::string drawn;
    for (const std::string& kind : result_plot_kinds()) {
      const std::string all = figures(table, kind);
      if (all.empty()) continue;
      // Heat maps are many: one for each strategy at each target.
      const bool is_folded = kind == "steps";
      if (is_folded) drawn += "<details><summary>" + plot_name(kind) + "</summary>\n";
      drawn += "<div class=plots>\n" + all + "</div>\n";
      if (is_folded) drawn += "</details>\n";
    }
    if (drawn.empty()) return "";
    return "<h2>Plots</h2>\n" + drawn;
  } catch (const Error& error) {
    return "<h2>Plots</h2>\n<p>Not drawn: " + escaped_html(error.what()) + "</p>\n";
  }
}

std::string marked(std::string_view text, std::string_view other) {
  std::string html;
  for (const TextPiece& piece : word_differences(text, other)) {
    const std::string safe = escaped_html(piece.text);
    html += piece.differs ? "<mark>" + safe + "</mark>" : safe;
  }
  return html.empty() ? "<span class=muted>(empty)</span>" : html;
}

std::string output_box(const std::string& name, const std::string& detail,
                       const std::string& html) {
  return fmt::format(
      "<div><h4>{} <span class=muted>{}</span></h4><p class=output dir=auto>{}</p></div>\n",
      escaped_html(name), escaped_html(detail), html);
}

std::string example_box(const SampleExample& example) {
  std::string text =
      fmt::format("<section class=example><h3>{}, example {}</h3>\n<div class=outputs>\n",
                  escaped_html(example.dataset), example.index + 1);
  const std::string reference = example.references.empty() ? "" : example.references.front();
  for (size_t i = 0; i < example.references.size(); ++i) {
    text += output_box(i == 0 ? "reference" : fmt::format("reference {}", i + 1), "",
                       escaped_html(example.references[i]));
  }
  const auto baseline = std::find_if(example.outputs.begin(), example.outputs.end(),
                                     [](const SampleOutput& one) { return one.is_baseline; });
  for (const SampleOutput& output : example.outputs) {
    const bool to_reference = output.is_baseline || baseline == example.outputs.end();
    text += output_box(output.name, fmt::format("{:.2f} layers", output.layers),
                       marked(output.text, to_reference ? reference : baseline->text));
  }
  return text + "</div></section>\n";
}

std::string samples_section(ResultStore& store, const ResultTable& table,
                            const ReportOptions& options) {
  const auto examples = sample_outputs(store, table, options.samples, options.baseline);
  if (examples.empty()) return "";
  std::string text = fmt::format(
      "<h2>Outputs side by side</h2>\n<p class=muted>Marked: words that are not in the output of "
      "{0}; in {0} itself, words that are not in the reference. Examples are spread evenly over "
      "the "
      "data set.</p>\n",
      escaped_html(options.baseline));
  for (const SampleExample& example : examples) text += example_box(example);
  return text;
}

}  // namespace

std::string html_report(ResultStore& store, const ResultTable& table,
                        const ReportOptions& options) {
  const std::string title = escaped_html(title_of(table));
  // No script and nothing from elsewhere, whatever the texts hold: the browser enforces it too.
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
      "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; img-src data:\">\n<title>{} - skipbench</title>\n<style>{}</style>\n"
      "</head>\n<body>\n<h1>{}</h1>\n",
      title, kReportStyle, title);
  page +=
      "<p class=muted>What skipping layers while decoding costs in quality and buys in speed. "
      "Measured by skipbench.</p>\n";
  page += tables_section(table) + plots_section(table) + samples_section(store, table, options);
  page += "<h2>Where the numbers come from</h2>\n" + list_of(provenance_notes(table));
  page += "<details><summary>Configuration</summary><pre class=\"scroll notes\">" +
          escaped_html(nlohmann::ordered_json::parse(table.run.config, nullptr, false)
                           .dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace)) +
          "</pre></details>\n";
  return page + "</body>\n</html>\n";
}

}  // namespace skipbench
