#ifndef HEARTH_ENGINE_OUTLINE_ROUNDED_INPUT_H_
#define HEARTH_ENGINE_OUTLINE_ROUNDED_INPUT_H_

#include <cstdint>

#include "engine/outline/model_outline.h"
#include "engine/outline/unit_id.h"

namespace hearth {

// How many columns of the input of a layer's heads or neurons, or of the output head, share a scale where
// every device rounds that input to 8 bits before it multiplies anything with it (see Activations), so that
// who sends it may do so as well. 0 where one does not: float32 arithmetic or weights, weights that round in
// blocks of different length, inputs that are weighted first.
uint32_t RoundedInputBlock(const ModelOutline& outline, UnitKind kind, uint32_t layer);

// Bytes that a row of `cols` takes when it travels: a code for each column and a float32 for each block, in
// multiples of 4; with block 0 float32.
uint64_t InputRowBytes(uint32_t cols, uint32_t block);

}  // namespace hearth

#endif  // HEARTH_ENGINE_OUTLINE_ROUNDED_INPUT_H_
