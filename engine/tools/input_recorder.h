#ifndef HEARTH_ENGINE_TOOLS_INPUT_RECORDER_H_
#define HEARTH_ENGINE_TOOLS_INPUT_RECORDER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/neuron/ffn_observer.h"
#include "engine/neuron/ffn_spec.h"

namespace hearth {

// Keeps what feed-forward networks read on text, in half precision.
class InputRecorder : public FfnObserver {
 public:
  // Of every `every`-th token (>= 1). `layers`: what the model computes.
  InputRecorder(absl::Span<const FfnLayerSpec> layers, uint64_t every);

  void OnRequest(const FfnRequest& request) override;
  void OnHidden(const FfnRequest&, uint32_t, uint32_t, absl::Span<const uint32_t>, const float*) override {}

  // The inputs of a layer, (tokens, n_embd), in the order of the text; they are gone afterwards.
  std::vector<float> Take(uint32_t layer);

 private:
  struct Layer {
    uint32_t n_embd = 0;
    uint64_t seen = 0;
    std::vector<uint16_t> inputs;
  };

  const uint64_t every_;
  std::vector<Layer> layers_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_INPUT_RECORDER_H_
