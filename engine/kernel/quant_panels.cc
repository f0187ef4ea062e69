// Products of quantised panels with activations in 8-bit units: integer sums of 32 columns, scaled and added
// in float32, always in the order of the columns.

#include <algorithm>
#include <cstddef>
#include <cstdint>

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

// Walks through the columns strip by strip and delivers the totals wherever a group ends.
template <class Method>
void MultiplyPart(const Part& part, Method& method) {
  const PanelTask& task = part.task;
  const StripGroup layout(task.weights->storage(), task.weights->rows(), task.weights->cols(),
                          part.first_panel);
  PanelResults<kTokenTile> results(task, part.first_panel, part.panels, part.first, part.tokens);
  std::fill_n(part.totals, part.panels * part.panel_totals, 0.0f);
  const uint32_t* group = task.group_ends.begin();  // the first whose sums are not complete
  while (*group == 0) ++group;
  for (size_t i = 0; i <= layout.last_strip; ++i) {
    const uint32_t* next = group;
    for (size_t p = 0; p < part.panels; ++p) {
      const Strip strip = StripOf(part, layout, p, i);
      float* totals = part.totals + p * part.panel_totals;
      method.Prepare(strip);
      next = group;
      for (size_t unit = 0; unit < strip.units;) {
        const size_t group_end = *next / kUnitCols - strip.first_unit;
        const size_t end = std::min(strip.units, group_end);
        method.Multiply({*task.blocks, part.first, part.tokens}, strip, unit, end, totals);
        unit = end;
        if (end < group_end) break;
        for (size_t t = 0; t < part.tokens; ++t) results.Add(p, t, totals + t * kPanelRows);
        std::fill_n(totals, part.tokens * kPanelRows, 0.0f);
        // Groups without columns have nothing to add.
        for (const uint32_t done = *next; next != task.group_ends.end() && *next == done;) ++next;
      }
    }
    group = next;
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
