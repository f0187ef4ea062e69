// Products of quantised panels with activations in 8-bit units: integer sums of 32 columns, scaled and added
// in float32, always in the order of the columns.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "engine/kernel/matrix_tiles.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/quant_panels.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/panel_results-inl.h"
#include "engine/kernel/quant_methods-inl.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// What is computed together: panels of one group, whose strips are read in turn, and some tokens.
struct Part {
  const PanelTask& task;
  size_t first_panel;
  size_t panels;
  size_t first;  // token
  size_t tokens;
  float* totals;  // (panels, panel_totals)
  size_t panel_totals;
};

// The strip of a panel, counted from the part's first one.
HWY_INLINE Strip StripOf(const Part& part, const StripGroup& layout, size_t panel, size_t strip) {
  const uint8_t* packed = part.task.weights->storage().data + layout.At(part.first_panel + panel, strip);
  const size_t first_unit = strip * kStripUnits;
  return {.packed = packed,
          .next = packed + layout.panels * layout.strip_bytes,
          .units = std::min(kStripUnits, part.task.weights->cols() / kUnitCols - first_unit),
          .first_unit = first_unit};
}

// Goes through the ends of groups strip by strip.
class GroupEnds {
 public:
  explicit GroupEnds(absl::Span<const uint32_t> ends) : next_(ends.begin()), last_(ends.end()) {}

  // Bit u: sums are complete with unit u of the strip that follows. Groups without columns have nothing to
  // add.
  uint32_t Next(size_t units) {
    uint32_t complete = 0;
    for (; next_ != last_ && *next_ <= (first_unit_ + units) * kUnitCols; ++next_) {
      const size_t end = *next_ / kUnitCols;
      if (end > first_unit_) complete |= uint32_t{1} << (end - first_unit_ - 1);
    }
    first_unit_ += units;
    return complete;
  }

 private:
  const uint32_t* next_;  // the first group whose sums are not complete
  const uint32_t* const last_;
  size_t first_unit_ = 0;  // of the strip that follows
};

// Walks through the columns strip by strip and delivers the totals wherever a group ends.
template <class Method>
void MultiplyPart(const Part& part, Method& method) {
  const PanelTask& task = part.task;
  const StripGroup layout(task.weights->storage(), task.weights->rows(), task.weights->cols(),
                          part.first_panel);
  const TokenRange tokens{*task.blocks, part.first, part.tokens};
  PanelResults<kTokenTile> results(task, part.first_panel, part.panels, part.first, part.tokens);
  std::fill_n(part.totals, part.panels * part.panel_totals, 0.0f);
  GroupEnds ends(task.group_ends);
  for (size_t i = 0; i <= layout.last_strip; ++i) {
    const uint32_t complete = ends.Next(StripOf(part, layout, 0, i).units);
    for (size_t p = 0; p < part.panels; ++p) {
      const Strip strip = StripOf(part, layout, p, i);
      float* totals = part.totals + p * part.panel_totals;
      method.Prepare(strip);
      if (std::popcount(complete) > 1 && results.fixed_point() && method.TakesGroups(tokens)) {
        method.MultiplyGroups(tokens, strip, complete, totals, results.FixedSums(p));
        continue;
      }
      for (size_t unit = 0, end; unit < strip.units; unit = end) {
        const uint32_t left = complete >> unit;
        end = left == 0 ? strip.units : unit + std::countr_zero(left) + 1;
        method.Multiply(tokens, strip, unit, end, totals);
        if (left == 0) break;
        for (size_t t = 0; t < part.tokens; ++t) results.Add(p, t, totals + t * kPanelRows);
        std::fill_n(totals, part.tokens * kPanelRows, 0.0f);
      }
    }
  }
  results.Deliver();
}

template <class Method>
void MultiplyTokens(const PanelTask& task, size_t begin, size_t end, size_t first, size_t tokens) {
  HWY_ALIGN float totals[kTokenTile * kPanelRows];
  Method method;
  const size_t padded = Method::Padded(tokens);
  const size_t together = std::clamp<size_t>(kTokenTile / padded, 1, kGroupPanels);
  for (size_t panel = begin, panels; panel < end; panel += panels) {
    panels = std::min({together, end - panel, kGroupPanels - panel % kGroupPanels});
    MultiplyPart({task, panel, panels, first, tokens, totals, padded * kPanelRows}, method);
  }
}

template <class Format>
void MultiplyPanels(const PanelTask& task, size_t begin, size_t end) {
  for (size_t first = 0; first < task.x->rows(); first += kTokenTile) {
    const size_t tokens = std::min(kTokenTile, task.x->rows() - first);
#if HWY_TARGET == HWY_AVX3_DL
    if (tokens >= kFewestTileTokens && HasMatrixTiles()) {
      MultiplyTokens<TileMethod<Format>>(task, begin, end, first, tokens);
      continue;
    }
#endif
    MultiplyTokens<VectorMethod<Format>>(task, begin, end, first, tokens);
  }
}

void MultiplyQuantPanels(const PanelTask& task, size_t begin, size_t end) {
  VisitFormat(task.weights->type(),
              [&]<class Format>() HWY_ATTR { MultiplyPanels<Format>(task, begin, end); });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(MultiplyQuantPanels);

void MultiplyQuantPanels(const PanelTask& task, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(MultiplyQuantPanels)(task, begin, end);
}

}  // namespace hearth
#endif  // HWY_ONCE
