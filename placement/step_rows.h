#ifndef HEARTH_PLACEMENT_STEP_ROWS_H_
#define HEARTH_PLACEMENT_STEP_ROWS_H_

#include <cstdint>

#include "placement/model.h"

namespace hearth::placement {

// The model as a step of `rows` rows, of as many texts, sees it: what ExpectedTime says of it is the time of
// the whole step. Weights are read once for all rows, those of neurons where at least one row fires them
// (rows do so independently of one another); caches are each row's own, and so is what travels over links.
// Holding it takes what the model takes. One row: the model.
Model WithRows(Model model, uint32_t rows);

// The same for `rows` rows of one prompt: they have one cache, which is read once for all of them, and the
// output head computes the last of them alone.
Model WithPromptRows(Model model, uint32_t rows);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_STEP_ROWS_H_
