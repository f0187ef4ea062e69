#ifndef HEARTH_ENGINE_NEURON_ROW_CHOICES_H_
#define HEARTH_ENGINE_NEURON_ROW_CHOICES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/neuron/ffn_request.h"
#include "engine/neuron/ffn_spec.h"

namespace hearth {

// A row of a request that chose a block, with the block's weight.
struct ChosenRow {
  uint32_t row;
  float weight;
};

// The rows of a request sorted by the block they chose: what a device that holds some blocks iterates over.
// Reusable; its buffers only grow.
class RowChoices {
 public:
  // Blocks outside [0, blocks) and weights of 0 are left out.
  void Set(const FfnRequest& request, uint32_t blocks);
  // Rising row numbers.
  absl::Span<const ChosenRow> rows(uint32_t block) const { return rows_[block]; }

 private:
  std::vector<std::vector<ChosenRow>> rows_;  // by block
};

// What the rows of one block feed into its matrices, (rows, n_embd): those rows of request.x, scaled where
// the block's weight belongs to the input. `buffer` is used where they do not lie side by side as they are.
const float* ChosenInput(const FfnLayerSpec& spec, const FfnRequest& request,
                         absl::Span<const ChosenRow> rows, std::vector<float>& buffer);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_ROW_CHOICES_H_
