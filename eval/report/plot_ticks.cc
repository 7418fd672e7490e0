#include "eval/report/plot_ticks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
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

// In pixels: nine-point letters, a label's distance from the middle of its marker, a marker.
constexpr double kSmallLetter = 8.5, kLabelHeight = 13, kLabelX = 7, kLabelY = 2, kMarkerRadius = 4;

struct Box {
  double left = 0, right = 0, bottom = 0, top = 0;
};

bool overlap(const Box& a, const Box& b) {
  return a.left < b.right && b.left < a.right && a.bottom < b.top && b.bottom < a.top;
}

Box label_box(double x, double y, size_t letters, LabelPlace place) {
  const double width = kSmallLetter * static_cast<double>(letters);
  const bool left = place == LabelPlace::kAboveLeft || place == LabelPlace::kBelowLeft;
  const bool below = place == LabelPlace::kBelowRight || place == LabelPlace::kBelowLeft;
  const double x0 = left ? x - kLabelX - width : x + kLabelX;
  const double y0 = below ? y - kLabelY - kLabelHeight : y + kLabelY;
  return {x0, x0 + width, y0, y0 + kLabelHeight};
}

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
  std::vector<Box> labels, markers;
  for (const PlotSeries& series : panel.series) {
    if (series.guide) continue;
    for (const PlotPoint& point : series.points) {
      const double at_x = point.x * per_x, at_y = point.y * per_y;
      markers.push_back(
          {at_x - kMarkerRadius, at_x + kMarkerRadius, at_y - kMarkerRadius, at_y + kMarkerRadius});
    }
  }
  for (PlotSeries& series : panel.series) {
    for (PlotPoint& point : series.points) {
      if (point.label.empty()) continue;
      // A marker that is half covered still reads; two labels on one spot do not.
      const auto cost = [&](const Box& box) {
        const auto hit = [&](const Box& other) { return overlap(box, other); };
        return 100 * std::count_if(labels.begin(), labels.end(), hit) +
               std::count_if(markers.begin(), markers.end(), hit);
      };
      Box best;
      auto least = std::numeric_limits<std::ptrdiff_t>::max();
      for (const LabelPlace place : kLabelPlaces) {
        const Box box = label_box(point.x * per_x, point.y * per_y, point.label.size(), place);
        if (cost(box) >= least) continue;
        least = cost(box);
        best = box;
        point.label_place = place;
      }
      labels.push_back(best);
    }
  }
}

}  // namespace skipbench
