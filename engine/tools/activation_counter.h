#ifndef HEARTH_ENGINE_TOOLS_ACTIVATION_COUNTER_H_
#define HEARTH_ENGINE_TOOLS_ACTIVATION_COUNTER_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/neuron/ffn_observer.h"
#include "engine/neuron/ffn_spec.h"

namespace hearth {

// Counts how often neurons fire: of a layer of one block each neuron, of a layer of experts each expert that
// a router picks. Where there are experts, what fires within one is not looked at.
class ActivationCounter : public FfnObserver {
 public:
  // A neuron fires for a token when |h| > threshold. `layers`: what the model computes.
  ActivationCounter(absl::Span<const FfnLayerSpec> layers, float threshold);

  void OnRequest(const FfnRequest& request) override;
  void OnHidden(const FfnRequest& request, uint32_t block, uint32_t row, absl::Span<const uint32_t> ids,
                const float* h) override;

  // Per layer the share of tokens for which each neuron (block) fired; empty for a layer that saw none.
  std::vector<std::vector<float>> Shares() const;

 private:
  struct Layer {
    bool routed = false;
    uint64_t tokens = 0;
    std::vector<std::atomic<uint64_t>> counts;  // per neuron, or per block
  };

  const float threshold_;
  std::vector<Layer> layers_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_ACTIVATION_COUNTER_H_
