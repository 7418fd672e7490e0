// Whether runs were measured under conditions in which their speeds say something of the code.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/regress/gate.h"

namespace skipbench {

// How far a run's clocks may be from the baseline's median, as a fraction: one or two of a card's
// steps of 15 MHz, and below the default smallest slowdown that matters. Time grows at most as the
// clock falls, so clocks this close make no slowdown of their own.
constexpr double kClockTolerance = 0.02;

// Empty, or a sentence on why the runs of one series cannot be compared: what, in which run, what
// was expected, what stands there and what to do. Reasons are different machines, a run while the
// driver lowered the card's clocks for a reason that spoils a timing, and a run whose SM or memory
// clock is further than kClockTolerance or `min_effect`, the less of them, from the baseline's
// median. Rows that say nothing of clocks pass.
std::string unlike_conditions(std::span<const BenchRun> baseline,
                              std::span<const BenchRun> candidate, double min_effect);

// Sentences on what does not forbid a verdict and should be known beside it: drivers, cards
// and libraries that are known and not the same on both sides, and other processes on the card.
std::vector<std::string> condition_notes(std::span<const BenchRun> baseline,
                                         std::span<const BenchRun> candidate);

}  // namespace skipbench
