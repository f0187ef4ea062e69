#include "engine/tools/input_recorder.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/quant/half.h"

namespace hearth {

InputRecorder::InputRecorder(absl::Span<const FfnLayerSpec> layers, uint64_t every)
    : every_(every), layers_(layers.size()) {
  HEARTH_CHECK(every > 0);
  for (size_t i = 0; i < layers.size(); ++i) layers_[i].n_embd = layers[i].n_embd;
}

void InputRecorder::OnRequest(const FfnRequest& request) {
  Layer& layer = layers_[request.layer];
  for (uint32_t row = 0; row < request.rows; ++row) {
    if (layer.seen++ % every_ != 0) continue;
    const float* x = request.x + size_t{row} * layer.n_embd;
    std::transform(x, x + layer.n_embd, std::back_inserter(layer.inputs), FloatToHalf);
  }
}

std::vector<float> InputRecorder::Take(uint32_t layer) {
  const std::vector<uint16_t> inputs = std::exchange(layers_[layer].inputs, {});
  std::vector<float> values(inputs.size());
  std::transform(inputs.begin(), inputs.end(), values.begin(), HalfToFloat);
  return values;
}

}  // namespace hearth
