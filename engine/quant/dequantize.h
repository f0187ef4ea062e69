#ifndef HEARTH_ENGINE_QUANT_DEQUANTIZE_H_
#define HEARTH_ENGINE_QUANT_DEQUANTIZE_H_

#include "engine/quant/blocks.h"

namespace hearth {

// Writes the Block::kValues numbers that a block stands for. Sums and products are taken in the order of the
// reference, each rounded to float, so the results agree with it in every bit. Any block is safe.
void DequantizeBlock(const BlockQ4_0& block, float* out);
void DequantizeBlock(const BlockQ4_1& block, float* out);
void DequantizeBlock(const BlockQ5_0& block, float* out);
void DequantizeBlock(const BlockQ5_1& block, float* out);
void DequantizeBlock(const BlockQ8_0& block, float* out);
void DequantizeBlock(const BlockQ1_0& block, float* out);
void DequantizeBlock(const BlockQ2_0& block, float* out);
void DequantizeBlock(const BlockMXFP4& block, float* out);
void DequantizeBlock(const BlockNVFP4& block, float* out);
void DequantizeBlock(const BlockIQ4_NL& block, float* out);
void DequantizeBlock(const BlockIQ4_XS& block, float* out);
void DequantizeBlock(const BlockQ2_K& block, float* out);
void DequantizeBlock(const BlockQ3_K& block, float* out);
void DequantizeBlock(const BlockQ4_K& block, float* out);
void DequantizeBlock(const BlockQ5_K& block, float* out);
void DequantizeBlock(const BlockQ6_K& block, float* out);
void DequantizeBlock(const BlockIQ1_S& block, float* out);
void DequantizeBlock(const BlockIQ1_M& block, float* out);
void DequantizeBlock(const BlockIQ2_XXS& block, float* out);
void DequantizeBlock(const BlockIQ2_XS& block, float* out);
void DequantizeBlock(const BlockIQ2_S& block, float* out);
void DequantizeBlock(const BlockIQ3_XXS& block, float* out);
void DequantizeBlock(const BlockIQ3_S& block, float* out);
void DequantizeBlock(const BlockTQ1_0& block, float* out);
void DequantizeBlock(const BlockTQ2_0& block, float* out);

// Scales of MXFP4 (a power of two) and NVFP4 (4 exponent, 3 mantissa bits), halved because the values of
// kDoubledE2M1 are doubled.
float HalvedE8M0(uint8_t exponent);
float HalvedUE4M3(uint8_t value);

}  // namespace hearth

#endif  // HEARTH_ENGINE_QUANT_DEQUANTIZE_H_
