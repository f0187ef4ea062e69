#include "engine/model/stage.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/base/timeline.h"

namespace hearth {

std::string TextOf(const LayerRange& layers) {
  return absl::StrCat("layers ", layers.first, " to ", layers.last - 1);
}

Stage::Stage(const ModelOutline& outline, const LeaderWeights& leader, uint32_t max_rows, ThreadPool& pool)
    : outline_(outline), leader_(leader), run_(outline, max_rows, pool) {}

absl::Status Stage::Run(uint64_t step, absl::Span<const RowPlace> rows, const LayerRange& layers,
                        DeviceSet& devices, float* x) {
  HEARTH_CHECK(layers.first <= layers.last && layers.last <= leader_.layers.size());
  run_.step = step;
  run_.rows = rows;
  run_.devices = &devices;
  for (uint32_t i = layers.first; i < layers.last;) {
    if (Device* const whole = devices.WholeLayersFrom(i); whole != nullptr) {
      const uint32_t last = std::min(layers.last, whole->WholeLayersFrom(i));
      const Timeline::Span span(Timeline::Kind::kAnswered, whole->name(), [&] { return TextOf({i, last}); });
      HEARTH_RETURN_IF_ERROR(whole->RunLayers(step, rows, i, last, x));
      i = last;
      continue;
    }
    HEARTH_RETURN_IF_ERROR(RunLayer(LayerContext(outline_, leader_, i), run_, x));
    ++i;
  }
  return absl::OkStatus();
}

}  // namespace hearth
