#include "eval/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/base/error.h"
#include "engine/base/subprocess.h"
#include "eval/report/plot_heat.h"
#include "eval/report/plot_ticks.h"
#include "eval/store/database.h"

namespace skipbench {
namespace {

// Okabe and Ito's colours, dark ones first; their yellow is left out: it vanishes on white paper.
constexpr std::array kColours = {"#000000", "#0072B2", "#D55E00", "#009E73",
                                 "#CC79A7", "#E69F00", "#56B4E9"};
// Circle, square, triangles, diamond, filled first. Ten markers and seven colours repeat only after
// seventy series.
constexpr std::array kMarkers = {7, 5, 9, 13, 11, 6, 4, 8, 12, 10};

// Pixels at scale 1.
constexpr double kLeft = 105, kRight = 32, kTop = 40, kAxis = 76, kLegendRow = 24;
constexpr double kLegendLine = 34, kLetter = 9, kHeatScale = 68, kHeatLabel = 56;
constexpr double kColumnGap = 120, kRowGap = 105;

// A gnuplot string in single quotes has one special character, the quote itself.
std::string quoted(const std::string& text) {
  std::string safe = "'";
  for (const char c : text) {
    if (c == '\'') safe.push_back('\'');
    safe.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  }
  return safe + "'";
}

std::vector<std::string> series_names(const Plot& plot, bool guide) {
  std::vector<std::string> names;
  for (const PlotPanel& panel : plot.panels) {
    for (const PlotSeries& series : panel.series) {
      if (series.guide == guide &&
          std::find(names.begin(), names.end(), series.name) == names.end()) {
        names.push_back(series.name);
      }
    }
  }
  return names;
}

struct Layout {
  int columns = 1, rows = 1;
  int legend_columns = 1, legend_rows = 1;
  double legend_width = 0;  // of a column
  double width = 0, height = 0, bottom = 0;
};

Layout layout_of(const Plot& plot) {
  Layout layout;
  const int panels = static_cast<int>(plot.panels.size());
  layout.columns = std::min(panels, plot.panels_per_row);
  layout.rows = (panels + layout.columns - 1) / layout.columns;
  layout.width =
      kLeft + layout.columns * plot.panel_width + (layout.columns - 1) * kColumnGap + kRight;
  size_t longest = 0, entries = 0;
  for (const bool guide : {false, true}) {
    for (const std::string& name : series_names(plot, guide)) {
      longest = std::max(longest, name.size());
      ++entries;
    }
  }
  layout.legend_width = kLetter * static_cast<double>(longest) + kLegendLine + 30;
  layout.legend_columns = std::clamp(static_cast<int>(layout.width / layout.legend_width), 1,
                                     std::max(1, static_cast<int>(entries)));
  layout.legend_rows =
      (static_cast<int>(entries) + layout.legend_columns - 1) / layout.legend_columns;
  // Names below the axis stand upright and are cut at about twelve characters.
  const double names = plot.x_names.empty() ? 0 : 75;
  const double legend = plot.heat_scale ? kHeatScale : kLegendRow * layout.legend_rows;
  layout.bottom = kAxis + names + legend;
  layout.height = kTop + layout.rows * plot.panel_height + (layout.rows - 1) * (kRowGap + names) +
                  layout.bottom;
  return layout;
}

std::string terminal(const Layout& layout, const std::string& format) {
  // Twice the size for PNG: 1.5 points of a printed page per pixel are too coarse.
  if (format == "png") {
    return fmt::format(
        "set terminal pngcairo noenhanced size {:.0f},{:.0f} font 'DejaVu Sans,11' fontscale 2"
        " linewidth 2 pointscale 2 background '#ffffff'\n",
        2 * layout.width, 2 * layout.height);
  }
  return fmt::format(
      "set terminal svg noenhanced size {:.0f},{:.0f} font 'DejaVu Sans,Arial,sans-serif,14'"
      " background '#ffffff'\n",
      layout.width, layout.height);
}

double smallest_y(const Plot& plot) {
  double smallest = 0;
  for (const PlotPanel& panel : plot.panels) {
    for (const PlotSeries& series : panel.series) {
      for (const PlotPoint& point : series.points) smallest = std::min(smallest, point.y);
    }
  }
  return smallest;
}

std::string axes(const Plot& plot, const Layout& layout) {
  std::string text =
      "set encoding utf8\nset border 3 linecolor '#404040'\nset tics nomirror out\n"
      "set grid linecolor '#d8d8d8' linewidth 0.5 dashtype solid\n"
      "unset key\n";
  text += fmt::format("set offsets graph {}, graph 0.08, graph 0\n",
                      plot.tight_x ? "0, graph 0" : "0.06, graph 0.08");
  // gnuplot's own format begins with a blank, which moves labels to the right.
  text += "set format x '%.10g'\n";
  if (plot.zero_x) text += "set xrange [0:*]\n";
  if (smallest_y(plot) >= 0) text += "set yrange [0:*]\n";
  text += fmt::format("set xlabel {}\nset ylabel {}\n", quoted(plot.x_label), quoted(plot.y_label));
  if (plot.powers_of_two_x) text += "set logscale x 2\n";
  if (!plot.x_names.empty()) {
    // At most about forty names fit.
    const size_t every = plot.x_names.size() / 40 + 1;
    std::string names;
    for (size_t i = 0; i < plot.x_names.size(); i += every) {
      names += fmt::format("{}{} {}", names.empty() ? "" : ", ", quoted(plot.x_names[i]), i);
    }
    text += "set xtics rotate by 90 right (" + names + ")\n";
  }
  text += fmt::format(
      "set multiplot layout {},{} margins screen {:.4f},{:.4f},{:.4f},{:.4f} spacing screen "
      "{:.4f},{:.4f}\n",
      layout.rows, layout.columns, kLeft / layout.width, 1 - kRight / layout.width,
      layout.bottom / layout.height, 1 - kTop / layout.height, kColumnGap / layout.width,
      (kRowGap + (plot.x_names.empty() ? 0 : 75)) / layout.height);
  return text;
}

std::string data_block(const std::string& name, const PlotSeries& series) {
  std::string text = fmt::format("${} << END\n", name);
  for (const PlotPoint& point : series.points) {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
    std::string label;  // of a number and its unit, nothing that the data format gives a meaning
    for (const char c : point.label) {
      if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-') {
        label.push_back(c);
      }
    }
    text += fmt::format("{} {} {} {}\n", point.x, point.y, label.empty() ? "-" : label,
                        static_cast<int>(point.label_place));
  }
  return text + "END\n";
}

struct Style {
  std::string line;  // colour, width and dashes
  int marker = 0;
};

Style style_of(size_t series) {
  return {fmt::format("linecolor '{}' linewidth 1.5 dashtype {}",
                      kColours[series % kColours.size()], series % 5 + 1),
          kMarkers[series % kMarkers.size()]};
}

constexpr char kGuideLine[] = "linecolor '#808080' linewidth 1.5 dashtype '-'";

// From the marker, in characters, with the side that the text keeps to.
const char* label_offset(LabelPlace place) {
  switch (place) {
    case LabelPlace::kAboveRight:
      return "0.9,0.7 left";
    case LabelPlace::kBelowRight:
      return "0.9,-0.7 left";
    case LabelPlace::kAboveLeft:
      return "-0.9,0.7 right";
    case LabelPlace::kBelowLeft:
      return "-0.9,-0.7 right";
  }
  return "";
}

std::string drawing(const std::string& block, const PlotSeries& series, size_t index) {
  if (series.guide) {
    return fmt::format("${} using 1:2 with lines {} notitle", block, kGuideLine);
  }
  const Style style = style_of(index);
  std::string text =
      fmt::format("${} using 1:2 with {} {} pointtype {} pointsize 1.1 notitle", block,
                  series.line ? "linespoints" : "points", style.line, style.marker);
  for (const LabelPlace place : kLabelPlaces) {
    const auto is_here = [&](const PlotPoint& point) {
      return !point.label.empty() && point.label_place == place;
    };
    if (std::none_of(series.points.begin(), series.points.end(), is_here)) continue;
    text += fmt::format(
        ", ${} using 1:($4=={} ? $2 : NaN):3 with labels offset character {} font ',9' textcolor "
        "'#404040' notitle",
        block, static_cast<int>(place), label_offset(place));
  }
  return text;
}

// Guides first: markers stand on top of them.
std::string panel_text(const Plot& plot, size_t panel_index) {
  PlotPanel placed = plot.panels[panel_index];
  place_labels(placed, plot.panel_width, plot.panel_height);
  const PlotPanel& panel = placed;
  const auto names = series_names(plot, /*guide=*/false);
  const std::string title = "set title " + quoted(panel.title) + "\n";
  if (!panel.heat.empty()) return title + heat_text(plot, panel, panel_index);
  std::string blocks, drawings;
  int count = 0;
  for (const bool guide : {true, false}) {
    for (const PlotSeries& series : panel.series) {
      if (series.guide != guide || series.points.empty()) continue;
      const std::string block = fmt::format("series_{}_{}", panel_index, count++);
      const size_t index = std::find(names.begin(), names.end(), series.name) - names.begin();
      blocks += data_block(block, series);
      drawings += (drawings.empty() ? "" : ", ") + drawing(block, series, index);
    }
  }
  std::string ticks;
  if (plot.x_names.empty() && !plot.powers_of_two_x) {
    const double distance = tick_distance(panel, plot.panel_width);
    ticks = distance > 0 ? fmt::format("set xtics {}\n", distance) : "set xtics autofreq\n";
  }
  if (!panel.y_label.empty()) ticks += "set ylabel " + quoted(panel.y_label) + "\n";
  return blocks + ticks + title + "plot " + drawings + "\n";
}

// gnuplot's own legend takes the width of one panel at most; this one takes the page's.
std::string legend(const Plot& plot, const Layout& layout) {
  const auto names = series_names(plot, /*guide=*/false);
  const auto guides = series_names(plot, /*guide=*/true);
  const bool lines =
      std::any_of(plot.panels.begin(), plot.panels.end(), [](const PlotPanel& panel) {
        return std::any_of(panel.series.begin(), panel.series.end(),
                           [](const PlotSeries& series) { return series.line && !series.guide; });
      });
  const double left = (layout.width - layout.legend_columns * layout.legend_width) / 2 + 10;
  std::string text;
  for (size_t i = 0; i < names.size() + guides.size(); ++i) {
    const bool guide = i >= names.size();
    const double x = left + static_cast<double>(i % layout.legend_columns) * layout.legend_width;
    const double y =
        kLegendRow * (layout.legend_rows - static_cast<double>(i / layout.legend_columns) - 0.5);
    if (guide || lines) {
      text += fmt::format("set arrow from screen {:.4f},{:.4f} rto screen {:.4f},0 nohead {}\n",
                          x / layout.width, y / layout.height, kLegendLine / layout.width,
                          guide ? kGuideLine : style_of(i).line);
    }
    if (!guide) {
      text += fmt::format(
          "set label '' at screen {:.4f},{:.4f} point {} pointtype {}"
          " pointsize 1.1\n",
          (x + kLegendLine / 2) / layout.width, y / layout.height, style_of(i).line,
          style_of(i).marker);
    }
    text += fmt::format("set label {} at screen {:.4f},{:.4f} left\n",
                        quoted(guide ? guides[i - names.size()] : names[i]),
                        (x + kLegendLine + 8) / layout.width, y / layout.height);
  }
  return text;
}

bool has_points(const Plot& plot) {
  for (const PlotPanel& panel : plot.panels) {
    if (!panel.heat.empty()) return true;
    for (const PlotSeries& series : panel.series) {
      if (!series.guide && !series.points.empty()) return true;
    }
  }
  return false;
}

}  // namespace

std::string gnuplot_script(const Plot& plot, const std::string& format) {
  const Layout layout = layout_of(plot);
  std::string script = terminal(layout, format) + axes(plot, layout);
  if (plot.heat_scale) {
    script += heat_colours(*plot.heat_scale, layout.width, layout.height) +
              fmt::format("set label {} at screen 0.5,{:.4f} center\n",
                          quoted(plot.heat_scale->label), kHeatLabel / layout.height);
  } else {
    script += legend(plot, layout);
  }
  for (size_t i = 0; i < plot.panels.size(); ++i) {
    if (i == 1) script += "unset label\nunset arrow\nunset colorbox\n";
    script += panel_text(plot, i);
  }
  return script + "unset multiplot\n";
}

std::string plot_format(const std::string& path) {
  const std::string ending = std::filesystem::path(path).extension();
  if (ending == ".svg" || ending == ".png") return ending.substr(1);
  throw Error({.what = "cannot tell the format of the plot",
               .where = "-o",
               .expected = "a name that ends in .svg or .png",
               .got = path});
}

std::string drawn_plot(const Plot& plot, const std::string& format) {
  if (!has_points(plot)) throw Error({.what = "the plot has no points"});
  // -d: no start-up file of the user's may change the plot. Without `set output` it goes to stdout.
  const std::vector<std::string> command = {"gnuplot", "-d"};
  ProcessResult result;
  try {
    result = run_process(command, gnuplot_script(plot, format), /*timeout_seconds=*/60);
  } catch (const Error& error) {
    throw Error({.what = error.parts().what,
                 .where = "gnuplot",
                 .hint = "plots are drawn by gnuplot; install it with `apt-get install "
                         "gnuplot-nox` (scripts/setup does)"});
  }
  if (result.timed_out || result.exit_code != 0 || result.output.empty()) {
    throw Error({.what = result.timed_out ? "did not finish within 60 s"
                                          : fmt::format("failed with exit code {}: {}",
                                                        result.exit_code, result.errors),
                 .where = "gnuplot"});
  }
  if (format == "svg" && plot.heat_scale) return with_sharp_images(result.output);
  return result.output;
}

void draw_plot(const Plot& plot, const std::string& path) {
  check_no_database(path, "-o");
  const std::string drawn = drawn_plot(plot, plot_format(path));
  std::ofstream file(path, std::ios::binary);
  file << drawn << std::flush;
  if (!file) {
    throw Error({.what = "cannot write the plot",
                 .where = path,
                 .hint = "does the folder exist, and is there room on the disk?"});
  }
}

}  // namespace skipbench
