#ifndef HEARTH_ENGINE_QUANT_QUANTIZE_H_
#define HEARTH_ENGINE_QUANT_QUANTIZE_H_

#include "engine/quant/blocks.h"

namespace hearth {

// Packs the Block::kValues finite numbers at `values` into the block that stands for them best. The K types
// search for the scales that minimise the squared error weighted by `importance` (one weight per value), or
// by a weight that grows with the size of a value where that is null. The others scale by the largest value.
void QuantizeBlock(const float* values, const float* importance, BlockQ4_0* block);
void QuantizeBlock(const float* values, const float* importance, BlockQ8_0* block);
void QuantizeBlock(const float* values, const float* importance, BlockQ4_K* block);
void QuantizeBlock(const float* values, const float* importance, BlockQ6_K* block);

// `value` rounded to nearest (ties to even) within [low, high]; NaN (0 times an infinite inverse scale) is
// low.
int RoundWithin(float value, int low, int high);

}  // namespace hearth

#endif  // HEARTH_ENGINE_QUANT_QUANTIZE_H_
