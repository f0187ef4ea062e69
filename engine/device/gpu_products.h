#ifndef HEARTH_ENGINE_DEVICE_GPU_PRODUCTS_H_
#define HEARTH_ENGINE_DEVICE_GPU_PRODUCTS_H_

#include <algorithm>
#include <cstdint>

#include "absl/types/span.h"
#include "engine/base/check.h"
#include "engine/device/gpu_scratch.h"
#include "engine/device/gpu_weights.h"
#include "engine/gpu/gpu_args.h"
#include "engine/gpu/gpu_runtime.h"

namespace hearth {

// Whether products of so many rows with a matrix are computed in tiles, all rows at once, rather than in
// passes of a few tokens, which read the matrix once each. The results have the same bits.
bool InTiles(const gpu::GpuMatrix& matrix, uint32_t rows, bool exact, const gpu::Gpu& stream);

// What products of any number of rows have in common: fills MatVecArgs or TileProductArgs. At most
// gpu::kMaxProducts.
template <class Args>
void SetProducts(absl::Span<const gpu::ProductOut> products, const gpu::GpuRows& x, Args& args) {
  HEARTH_CHECK(!products.empty() && products.size() <= gpu::kMaxProducts);
  std::copy(products.begin(), products.end(), args.products);
  args.product_count = static_cast<uint32_t>(products.size());
  args.x = x;
}

// Products of rows 0 .. rows - 1 of `x`, whose results go to rows of the same numbers. The matrices are of
// one type.
void MultiplyRows(absl::Span<const gpu::ProductOut> products, const gpu::GpuRows& x, uint32_t rows,
                  bool exact, gpu::Gpu& stream);

// What a matrix with its bias and scale gives: rows that lie `stride` apart.
struct LinearOut {
  const GpuLinear& linear;
  float* out;
  uint32_t stride;
};
// The same of matrices of any types: those of one type that follow one another go together.
void MultiplyRows(absl::Span<const LinearOut> products, GpuActivations& x, uint32_t rows, bool exact,
                  gpu::Gpu& stream);

// The same in fixed point: sums (rows, stride) are added to, or overwritten.
void SumRows(const gpu::GpuMatrix& matrix, const gpu::GpuRows& x, uint32_t rows, int64_t* sums,
             uint32_t stride, bool overwrite, bool exact, gpu::Gpu& stream);

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_PRODUCTS_H_
