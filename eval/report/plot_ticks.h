// Where a plot's numbers stand: ticks and points with labels that do not touch.
#pragma once

#include <string>

#include "eval/report/plot.h"

namespace skipbench {

// The distance of ticks on an axis from `low` to `high` of `width` pixels: 1, 2 or 5 times a power
// of ten, the least at which the labels of neighbours stay apart. 0 unless low < high.
double tick_distance(double low, double high, double width);

// Of the x axis of a panel; 0 where it has no finite point or all of them share one x.
double tick_distance(const PlotPanel& panel, double width);

// Sends each label of a panel of `width` x `height` pixels to the first of the four corners of its
// point where it lies on no label before it and on no marker, or to where it lies on the fewest.
void place_labels(PlotPanel& panel, double width, double height);

}  // namespace skipbench
