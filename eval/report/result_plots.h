// What a results file can be drawn as.
#pragma once

#include <string>
#include <vector>

#include "eval/report/plot.h"
#include "eval/report/result_table.h"

namespace skipbench {

struct ResultPlotOptions {
  std::string kind = "pareto";
  std::string dataset;        // empty: all of them, in panels of their own
  std::string score;          // pareto: the score's name; empty: the data set's first
  std::string strategy = {};  // similarity, divergence, steps: this one alone; empty: all
};

// Kinds: "pareto" (quality against decode tok/s, a panel per data set and batch size, with the
// front of what nothing beats in both), "target" (achieved against asked-for speedup), "batch"
// (decode tok/s against batch size), and those of drift_plots.h. Cells that are not done are left
// out. Throws Error for an unknown kind, data set, score or strategy, a score or strategy that the
// kind does not read, and where no cell has what the kind needs.
Plot result_plot(const ResultTable& table, const ResultPlotOptions& options);

// The same, but without panels where no cell has what the kind needs.
Plot possible_plot(const ResultTable& table, const ResultPlotOptions& options);

const std::vector<std::string>& result_plot_kinds();

// Of points, those that no other one matches in x and beats in y or the reverse; x ascending. More
// is better in x, and in y where `higher_is_better`.
std::vector<PlotPoint> pareto_front(std::vector<PlotPoint> points, bool higher_is_better);

}  // namespace skipbench
