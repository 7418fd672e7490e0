// Heat maps of a plot, in gnuplot's language.
#pragma once

#include <string>

#include "eval/report/plot.h"

namespace skipbench {

// The colours, and the scale of them at the bottom centre of a page of `width` x `height` pixels.
std::string heat_colours(const HeatScale& scale, double width, double height);

// Data, axes and drawing of a panel with a heat map of `plot.heat_scale`; `index` names its data.
std::string heat_text(const Plot& plot, const PlotPanel& panel, size_t index);

// gnuplot's SVG with squares that have edges: an image of one pixel per square is smoothed else.
std::string with_sharp_images(std::string svg);

}  // namespace skipbench
