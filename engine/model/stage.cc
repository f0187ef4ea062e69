#include "engine/model/stage.h"

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {

Stage::Stage(const ModelOutline& outline, const LeaderWeights& leader, uint32_t first, uint32_t last,
             uint32_t max_rows, ThreadPool& pool)
    : outline_(outline), leader_(leader), first_(first), last_(last), run_(outline, max_rows, pool) {
  HEARTH_CHECK(first <= last && last <= outline.spec.n_layers);
}

absl::Status Stage::Run(uint64_t step, absl::Span<const RowPlace> rows, DeviceSet& devices, float* x) {
  run_.step = step;
  run_.rows = rows;
  run_.devices = &devices;
  for (uint32_t i = first_; i < last_; ++i) {
    HEARTH_RETURN_IF_ERROR(RunLayer(LayerContext(outline_, leader_, i), run_, x));
  }
  return absl::OkStatus();
}

}  // namespace hearth
