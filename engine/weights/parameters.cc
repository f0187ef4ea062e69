#include "engine/weights/parameters.h"

#include "absl/types/span.h"

namespace hearth {

void RowTable::Read(uint64_t row, float* out) const {
  Dequantize(type, absl::MakeConstSpan(data + row * row_bytes, row_bytes), cols, out);
}

}  // namespace hearth
