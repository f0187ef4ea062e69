#include "engine/model/stage.h"

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {

Stage::Stage(const ModelOutline& outline, const LeaderWeights& leader, uint32_t max_rows, ThreadPool& pool)
    : outline_(outline), leader_(leader), run_(outline, max_rows, pool) {}

absl::Status Stage::Run(uint64_t step, absl::Span<const RowPlace> rows, const LayerRange& layers,
                        DeviceSet& devices, float* x) {
  HEARTH_CHECK(layers.first <= layers.last && layers.last <= leader_.layers.size());
  run_.step = step;
  run_.rows = rows;
  run_.devices = &devices;
  for (uint32_t i = layers.first; i < layers.last; ++i) {
    HEARTH_RETURN_IF_ERROR(RunLayer(LayerContext(outline_, leader_, i), run_, x));
  }
  return absl::OkStatus();
}

}  // namespace hearth
