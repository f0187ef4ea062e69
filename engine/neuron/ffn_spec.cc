#include "engine/neuron/ffn_spec.h"

namespace hearth {

std::string_view SparsityModeName(SparsityMode mode) {
  switch (mode) {
    case SparsityMode::kDense:
      return "dense";
    case SparsityMode::kExact:
      return "exact";
    case SparsityMode::kPredicted:
      return "predicted";
  }
  return "unknown";
}

}  // namespace hearth
