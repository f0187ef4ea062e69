#include "engine/device/gpu_products.h"

#include "absl/container/inlined_vector.h"

namespace hearth {

bool InTiles(const gpu::GpuMatrix& matrix, uint32_t rows, bool exact, const gpu::Gpu& stream) {
  return rows > gpu::kMaxTokens && !exact && stream.HasTiles(matrix.type, matrix.cols);
}

void MultiplyRows(absl::Span<const gpu::ProductOut> products, const gpu::GpuRows& x, uint32_t rows,
                  bool exact, gpu::Gpu& stream) {
  HEARTH_CHECK(!products.empty());
  if (InTiles(products[0].weights, rows, exact, stream)) {
    gpu::TileProductArgs args;
    SetProducts(products, x, args);
    args.count = rows;
    stream.TileProducts(args);
    return;
  }
  gpu::MatVecArgs args;
  SetProducts(products, x, args);
  gpu::ForEachPass(rows, [&](const gpu::TokenRows& tokens) {
    args.tokens = tokens;
    stream.MatVec(args, exact);
  });
}

void MultiplyRows(absl::Span<const LinearOut> products, GpuActivations& x, uint32_t rows, bool exact,
                  gpu::Gpu& stream) {
  for (size_t p = 0; p < products.size();) {
    absl::InlinedVector<gpu::ProductOut, gpu::kMaxProducts> of_type;
    const gpu::GpuType type = products[p].linear.matrix.type;
    for (; p < products.size() && products[p].linear.matrix.type == type; ++p) {
      const auto& [linear, out, stride] = products[p];
      of_type.push_back({linear.matrix, out, stride, linear.bias_values(), linear.scale});
    }
    MultiplyRows(of_type, x.For(type, exact, rows, stream), rows, exact, stream);
  }
}

void SumRows(const gpu::GpuMatrix& matrix, const gpu::GpuRows& x, uint32_t rows, int64_t* sums,
             uint32_t stride, bool overwrite, bool exact, gpu::Gpu& stream) {
  if (InTiles(matrix, rows, exact, stream)) {
    stream.FixedTileProducts({matrix, x, rows, {}, {}, sums, stride, overwrite});
    return;
  }
  gpu::ForEachPass(rows, [&](const gpu::TokenRows& tokens) {
    stream.FixedMatVec({matrix, x, tokens, sums, stride, overwrite}, exact);
  });
}

}  // namespace hearth
