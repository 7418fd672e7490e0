#include "eval/report/plot_ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace skipbench {
namespace {

// Of 14-pixel DejaVu Sans, whose digits are 0.64 of its size wide; the gap is two digits.
constexpr double kDigit = 9, kGap = 18;
constexpr double kOffsets = 0.14;  // that gnuplot adds to the range, in parts of it

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
};

Range range_of(const PlotPanel& panel, double PlotPoint::*axis) {
  Range range;
  for (const PlotSeries& series : panel.series) {
    for (const PlotPoint& point : series.points) {
      if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
      range.low = std::min(range.low, point.*axis);
      range.high = std::max(range.high, point.*axis);
    }
  }
  return range;
}

// A label of three letters at nine points, in pixels.
constexpr double kLabelWidth = 26, kLabelHeight = 13;

// Labels from the tick below `range` to the tick above it do not touch.
bool fits(Range range, double distance, double width) {
  const double margin = kOffsets * (range.high - range.low);
  const double first = std::floor((range.low - margin) / distance);
  const double last = std::ceil((range.high + margin) / distance);
  size_t longest = 0;
  for (const double tick : {first, last - 1, last}) {
    longest = std::max(longest, fmt::format("{:g}", tick * distance).size());
  }
  // Between round ticks stand broken ones: 0, 0.5, 1.
  longest = std::max(longest, fmt::format("{:g}", distance).size());
  return width / (last - first) >= kDigit * static_cast<double>(longest) + kGap;
}

}  // namespace

double tick_distance(const PlotPanel& panel, double width) {
  const Range range = range_of(panel, &PlotPoint::x);
  return tick_distance(range.low, range.high, width);
}

double tick_distance(double low, double high, double width) {
  const Range range{low, high};
  if (!(range.high > range.low)) return 0;
  double power = std::pow(10, std::floor(std::log10((range.high - range.low) / 20)));
  while (true) {
    for (const double factor : {1, 2, 5}) {
      if (fits(range, factor * power, width)) return factor * power;
    }
    power *= 10;
    if (power > 10 * (range.high - range.low)) return power;
  }
}

void place_labels(PlotPanel& panel, double width, double height) {
  const Range x = range_of(panel, &PlotPoint::x), y = range_of(panel, &PlotPoint::y);
  if (!(x.high > x.low) || !(y.high > y.low)) return;
  const double per_x = width / ((1 + kOffsets) * (x.high - x.low));
  const double per_y = height / ((1 + kOffsets) * (y.high - std::min(0.0, y.low)));
  std::vector<std::pair<double, double>> taken;  // in pixels, from the points
  for (PlotSeries& series : panel.series) {
    for (PlotPoint& point : series.points) {
      if (point.label.empty()) continue;
      const double at_x = point.x * per_x, at_y = point.y * per_y;
      point.label_below = std::any_of(taken.begin(), taken.end(), [&](const auto& other) {
        return std::abs(other.first - at_x) < kLabelWidth &&
               std::abs(other.second - at_y) < kLabelHeight;
      });
      if (!point.label_below) taken.emplace_back(at_x, at_y);
    }
  }
}

}  // namespace skipbench
