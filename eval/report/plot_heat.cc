#include "eval/report/plot_heat.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "eval/report/plot_ticks.h"

namespace skipbench {
namespace {

// Dark blue to yellow, even in lightness and for the colour-blind (after cividis, Nunez, Anderton
// and Renslow 2018).
constexpr char kPalette[] =
    "set palette defined (0 '#00224e', 0.25 '#434e6c', 0.5 '#7d7c78', 0.75 '#bcae6c', 1 "
    "'#fee838')\n";

constexpr double kBarWidth = 330, kBarHeight = 14, kBarBottom = 28;  // pixels

std::string axis(const char* name, size_t count, double pixels) {
  const double last = static_cast<double>(count) - 1;
  return fmt::format("set {0}range [-0.5:{1}]\nset {0}tics {2}\n", name, last + 0.5,
                     std::max(1.0, tick_distance(0, last, pixels)));
}

struct Sample {
  double at = 0;
  size_t index = 0;
};

// gnuplot draws no image of a single column or row: such a one is written as two halves.
std::vector<Sample> samples(size_t count) {
  if (count == 1) return {{-0.25, 0}, {0.25, 0}};
  std::vector<Sample> all;
  for (size_t i = 0; i < count; ++i) all.push_back({static_cast<double>(i), i});
  return all;
}

}  // namespace

std::string heat_colours(const HeatScale& scale, double width, double height) {
  return kPalette +
         fmt::format(
             "set cbrange [{}:{}]\nset colorbox horizontal user origin screen {:.4f},{:.4f} size "
             "screen {:.4f},{:.4f}\nset cbtics {} nomirror scale 0.4 offset 0,0.6\n",
             scale.low, scale.high, (width - kBarWidth) / 2 / width, kBarBottom / height,
             kBarWidth / width, kBarHeight / height,
             tick_distance(scale.low, scale.high, kBarWidth));
}

std::string heat_text(const Plot& plot, const PlotPanel& panel, size_t index) {
  std::string text = fmt::format("$heat_{} << END\n", index);
  for (const Sample& x : samples(panel.heat.size())) {
    for (const Sample& y : samples(panel.heat[x.index].size())) {
      const double value = panel.heat[x.index][y.index];
      text += std::isfinite(value) ? fmt::format("{} {} {}\n", x.at, y.at, value)
                                   : fmt::format("{} {} NaN\n", x.at, y.at);
    }
  }
  return text + "END\n" + axis("x", panel.heat.size(), plot.panel_width) +
         axis("y", panel.heat.front().size(), plot.panel_height) +
         fmt::format("plot $heat_{} using 1:2:3 with image notitle\n", index);
}

std::string with_sharp_images(std::string svg) {
  constexpr std::string_view kImage = "<image ";
  for (size_t at = svg.find(kImage); at != std::string::npos; at = svg.find(kImage, at + 1)) {
    svg.insert(at + kImage.size(), "image-rendering='pixelated' ");
  }
  return svg;
}

}  // namespace skipbench
