#include "engine/neuron/row_choices.h"

#include <cstring>

#include "engine/kernel/vector_ops.h"

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

const float* ChosenInput(const FfnLayerSpec& spec, const FfnRequest& request,
                         absl::Span<const ChosenRow> rows, std::vector<float>& buffer) {
  bool as_they_are = rows.size() == request.rows && !spec.weight_on_input;
  for (size_t i = 0; as_they_are && i < rows.size(); ++i) as_they_are = rows[i].row == i;
  if (as_they_are) return request.x;
  const size_t n = spec.n_embd;
  if (buffer.size() < rows.size() * n) buffer.resize(rows.size() * n);
  for (size_t i = 0; i < rows.size(); ++i) {
    float* to = buffer.data() + i * n;
    std::memcpy(to, request.x + rows[i].row * n, n * sizeof(float));
    if (spec.weight_on_input) Scale(rows[i].weight, n, to);
  }
  return buffer.data();
}

}  // namespace hearth
