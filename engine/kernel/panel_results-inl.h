// Where the sums of a panel go. Compiled once per instruction set.
#if defined(HEARTH_ENGINE_KERNEL_PANEL_RESULTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_PANEL_RESULTS_INL_H_
#undef HEARTH_ENGINE_KERNEL_PANEL_RESULTS_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_PANEL_RESULTS_INL_H_
#endif

#include <algorithm>
#include <cstddef>

#include "engine/kernel/panels.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// Delivers the sums of one group of columns: those of `token` and 16 rows from panel's first on.
HWY_INLINE void DeliverSums(const PanelTask& task, size_t panel, size_t token, const float* sums) {
  const size_t row = panel * kPanelRows;
  const size_t rows = std::min(kPanelRows, task.weights->rows() - row);
  if (task.out != nullptr) {
    float* out = task.out + token * task.out_stride + row;
    if (rows < kPanelRows) {
      std::copy_n(sums, rows, out);
      return;
    }
    for (size_t i = 0; i < kPanelRows; i += kLanes) hn::StoreU(hn::Load(F32(), sums + i), F32(), out + i);
    return;
  }
  AddFixedPoints(sums, rows, task.sums + token * task.sums_stride + row);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
