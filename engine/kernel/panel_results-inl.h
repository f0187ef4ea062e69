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

// The results of a few panels for some tokens, at most kMost pairs of both. Fixed-point sums of groups are
// collected here and leave together: where they go, tokens lie far apart.
template <size_t kMost>
class PanelResults {
 public:
  PanelResults(const PanelTask& task, size_t first_panel, size_t panels, size_t first_token, size_t tokens)
      : task_(task), first_panel_(first_panel), panels_(panels), first_token_(first_token), tokens_(tokens) {
    if (fixed_point()) std::fill_n(fixed_, panels * tokens * kPanelRows, 0);
  }

  HWY_INLINE bool fixed_point() const { return task_.out == nullptr; }

  // Where the fixed-point sums of 16 rows, for the first token, are added up.
  HWY_INLINE int64_t* FixedSums(size_t panel) { return fixed_ + panel * tokens_ * kPanelRows; }

  // Takes the sums of one group of columns: those of 16 rows, for panel and token counted from the first
  // ones.
  HWY_INLINE void Add(size_t panel, size_t token, const float* sums) {
    if (fixed_point()) {
      AddFixedPoints(sums, kPanelRows, FixedSums(panel) + token * kPanelRows);
      return;
    }
    const size_t row = (first_panel_ + panel) * kPanelRows;
    float* out = task_.out + (first_token_ + token) * task_.out_stride + row;
    if (const size_t rows = RowsFrom(row); rows < kPanelRows) {
      std::copy_n(sums, rows, out);
      return;
    }
    for (size_t i = 0; i < kPanelRows; i += kLanes) hn::StoreU(hn::Load(F32(), sums + i), F32(), out + i);
  }

  // After all groups.
  void Deliver() const {
    if (!fixed_point()) return;
    for (size_t p = 0; p < panels_; ++p) {
      const size_t row = (first_panel_ + p) * kPanelRows, rows = RowsFrom(row);
      for (size_t t = 0; t < tokens_; ++t) {
        const int64_t* fixed = fixed_ + (p * tokens_ + t) * kPanelRows;
        int64_t* out = task_.sums + (first_token_ + t) * task_.sums_stride + row;
        for (size_t i = 0; i < rows; ++i) out[i] = AddFixedPoint(out[i], fixed[i]);
      }
    }
  }

 private:
  size_t RowsFrom(size_t row) const { return std::min(kPanelRows, task_.weights->rows() - row); }

  const PanelTask& task_;
  const size_t first_panel_, panels_, first_token_, tokens_;
  HWY_ALIGN int64_t fixed_[kMost * kPanelRows];
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
