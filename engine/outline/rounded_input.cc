#include "engine/outline/rounded_input.h"

#include "engine/kernel/matrix.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

// The block that all matrices agree on.
class Agreement {
 public:
  void Add(TensorType type) {
    const uint32_t block =
        GetTypeInfo(type).block_values > 1 ? static_cast<uint32_t>(ActivationBlock(type)) : 0;
    block_ = first_ || block == block_ ? block : 0;  // once 0 it agrees with nothing but 0
    first_ = false;
  }
  uint32_t block() const { return block_; }

 private:
  bool first_ = true;
  uint32_t block_ = 0;
};

uint32_t NeuronsBlock(const FfnLayerSpec& spec) {
  if (spec.weight_on_input) return 0;
  Agreement agreement;
  for (uint32_t block = 0; block < spec.block_neurons.size(); ++block) {
    if (spec.gate.present) agreement.Add(spec.gate_type(block));
    agreement.Add(spec.up_type(block));
  }
  return agreement.block();
}

}  // namespace

uint64_t InputRowBytes(uint32_t cols, uint32_t block) {
  if (block == 0) return uint64_t{cols} * sizeof(float);
  const uint64_t blocks = cols / block + (cols % block != 0);
  return (blocks * sizeof(float) + cols + 3) / 4 * 4;
}

uint32_t RoundedInputBlock(const ModelOutline& outline, UnitKind kind, uint32_t layer) {
  if (outline.options.arithmetic != Arithmetic::kFast) return 0;
  if (kind == UnitKind::kNeurons) return NeuronsBlock(outline.ffn_specs[layer]);
  const UnitId unit{kind, layer, 0};
  if (!outline.Has(unit)) return 0;
  const absl::StatusOr<UnitParts> parts = outline.Parts(unit);
  if (!parts.ok()) return 0;
  Agreement agreement;
  for (const TensorPart& part : *parts) {
    // What has its columns cut multiplies the heads' own results.
    const bool takes_input =
        part.tensor.dimensions > 1 && part.axis != Axis::kCols && part.tensor.cols() == outline.spec.n_embd;
    if (takes_input) agreement.Add(part.tensor.type);
  }
  return agreement.block();
}

}  // namespace hearth
