#ifndef HEARTH_ENGINE_NEURON_FFN_REQUEST_H_
#define HEARTH_ENGINE_NEURON_FFN_REQUEST_H_

#include <cstdint>

#include "absl/types/span.h"

namespace hearth {

class FfnObserver;

// A block that applies to a row, and its weight.
struct BlockChoice {
  uint32_t block;
  float weight;
};

// One layer's FFN for a batch of rows. All pointers are borrowed until its result has been collected.
struct FfnRequest {
  uint32_t layer = 0;
  uint32_t rows = 0;
  const float* x = nullptr;  // (rows, n_embd): the normed input
  // (rows, predictor_rank): relu(fc1 p); null unless sparsity is predicted. A row that starts with NaN has no
  // prediction: it is computed exactly. Of a layer with a LoRA adapter: (rows, hidden_values()), A x.
  const float* hidden = nullptr;
  // (rows, choices_per_row); weight 0 stands for "none". Empty: block 0 with weight 1 for every row.
  absl::Span<const BlockChoice> choices = {};
  uint32_t choices_per_row = 0;
  FfnObserver* observer = nullptr;  // looks on, of devices of this process; null: nobody
  uint32_t output_values = 0;       // values per row that come back: FfnLayerSpec::output_values()
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_FFN_REQUEST_H_
