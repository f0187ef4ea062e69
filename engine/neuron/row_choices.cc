#include "engine/neuron/row_choices.h"

namespace hearth {

void RowChoices::Set(const FfnRequest& request, uint32_t blocks) {
  if (rows_.size() < blocks) rows_.resize(blocks);
  for (auto& rows : rows_) rows.clear();
  for (uint32_t row = 0; row < request.rows; ++row) {
    if (request.choices.empty()) {
      rows_[0].push_back({row, 1.0f});
      continue;
    }
    for (uint32_t i = 0; i < request.choices_per_row; ++i) {
      const BlockChoice& choice = request.choices[size_t{row} * request.choices_per_row + i];
      if (choice.block < blocks && choice.weight != 0) rows_[choice.block].push_back({row, choice.weight});
    }
  }
}

}  // namespace hearth
