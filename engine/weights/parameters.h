#ifndef HEARTH_ENGINE_WEIGHTS_PARAMETERS_H_
#define HEARTH_ENGINE_WEIGHTS_PARAMETERS_H_

#include <cstdint>
#include <vector>

#include "engine/kernel/matrix.h"
#include "engine/quant/types.h"

namespace hearth {

// The forms in which a model's parameters are held. Immutable after loading. Vectors that an architecture or
// a file does not have are empty.

// y = scale * (W x + B (A x)) + bias, where A x comes from elsewhere.
struct Linear {
  Matrix weights;  // (outputs, inputs)
  Matrix adapter;  // B of a LoRA adapter, (outputs, rank), or empty
  std::vector<float> bias;
  float scale = 1;
};

struct Norm {
  bool present = false;  // absent: the vector stays as it is
  std::vector<float> weight;
  std::vector<float> bias;
};

// Rows in the file's format that are read one at a time.
struct RowTable {
  TensorType type = TensorType::kF32;
  const uint8_t* data = nullptr;  // in the file's mapping
  uint64_t rows = 0;
  uint64_t cols = 0;
  uint64_t row_bytes = 0;

  // Writes a row, (cols), as float32.
  void Read(uint64_t row, float* out) const;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_WEIGHTS_PARAMETERS_H_
