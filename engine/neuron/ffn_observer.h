#ifndef HEARTH_ENGINE_NEURON_FFN_OBSERVER_H_
#define HEARTH_ENGINE_NEURON_FFN_OBSERVER_H_

#include <cstdint>

#include "absl/types/span.h"
#include "engine/neuron/ffn_request.h"

namespace hearth {

// Looks on while feed-forward layers are computed, to learn which neurons fire. It changes nothing.
class FfnObserver {
 public:
  virtual ~FfnObserver() = default;

  // A request, before it is computed; by the thread that submits it.
  virtual void OnRequest(const FfnRequest& request) = 0;
  // Hidden values h (see FfnLayerSpec) of neurons `ids` of a block for one row, as `down` meets them: weights
  // and scales are in them. Neurons that are left out are zero. By several threads at a time, for other rows.
  virtual void OnHidden(const FfnRequest& request, uint32_t block, uint32_t row,
                        absl::Span<const uint32_t> ids, const float* h) = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_FFN_OBSERVER_H_
