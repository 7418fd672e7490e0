// Quality that another build of the program decoded.
#pragma once

#include <cstddef>
#include <span>

#include "eval/sweep/setup.h"

namespace skipbench {

// A build's texts are its own: other sources may decode others. What an earlier build in `store`
// has of the cells whose quality this one lacks is taken over instead, the latest build's first,
// with its calibration, which timings of the point then use too. Only whole cells: what another
// build began is not gone on with. With `apply` the cells of `variants` become those; in any case
// returns how many quality cells there are to take over.
size_t take_over_quality(ResultStore& store, std::span<SweepSetup> variants, bool apply);

}  // namespace skipbench
