// Plots as data, drawn by gnuplot: panels side by side with one legend below. Every series has a
// colour of Okabe and Ito's colour-blind safe set (https://jfly.uni-koeln.de/color/) and a marker
// of its own, so that a plot reads in grey as well.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace skipbench {

// Where a point's label stands, seen from its marker.
enum class LabelPlace { kAboveRight, kBelowRight, kAboveLeft, kBelowLeft };

// All of them, in the order in which they are tried.
inline constexpr std::array kLabelPlaces = {LabelPlace::kAboveRight, LabelPlace::kBelowRight,
                                            LabelPlace::kAboveLeft, LabelPlace::kBelowLeft};

struct PlotPoint {
  double x = 0, y = 0;
  std::string label;
  LabelPlace label_place = LabelPlace::kAboveRight;
};

struct PlotSeries {
  std::string name;    // in the legend; the same name is the same series in every panel
  bool line = true;    // joins the points
  bool guide = false;  // grey and without markers: what is not measured, such as a front
  std::vector<PlotPoint> points;
};

struct PlotPanel {
  std::string title;
  std::vector<PlotSeries> series;
  std::string y_label = {};  // empty: the plot's
  // A heat map instead of series: of column x from the left the values from y = 0 up. All columns
  // are of one length.
  std::vector<std::vector<double>> heat = {};
};

struct HeatScale {
  double low = 0, high = 1;
  std::string label;
};

struct Plot {
  std::string x_label, y_label;
  bool tight_x = false;              // the x axis ends with the points
  bool zero_x = false;               // the x axis begins at 0
  bool powers_of_two_x = false;      // a logarithmic axis with a tick at each power of two
  std::vector<std::string> x_names;  // where not empty: entry i stands below x = i
  std::vector<PlotPanel> panels;
  std::optional<HeatScale> heat_scale;  // of all panels, which are then heat maps
  int panels_per_row = 3;
  double panel_width = 430, panel_height = 320;  // without axis labels; pixels of an SVG
};

// What gnuplot is asked to draw. `format`: svg or png. The texts of `plot` are quoted: no name of a
// data set or strategy can become a command.
std::string gnuplot_script(const Plot& plot, const std::string& format);

// Draws into `path`, whose name ends in .svg or .png. Throws Error: another ending, nothing to
// draw, no gnuplot on PATH, gnuplot fails, or the file cannot be written.
void draw_plot(const Plot& plot, const std::string& path);

// svg or png, from the ending of `path`. Throws Error for another one.
std::string plot_format(const std::string& path);

// The drawing itself, SVG text or the bytes of a PNG file. Throws as draw_plot.
std::string drawn_plot(const Plot& plot, const std::string& format);

}  // namespace skipbench
