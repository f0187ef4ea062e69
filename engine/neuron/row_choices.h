#ifndef HEARTH_ENGINE_NEURON_ROW_CHOICES_H_
#define HEARTH_ENGINE_NEURON_ROW_CHOICES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/neuron/ffn_request.h"

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

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_ROW_CHOICES_H_
