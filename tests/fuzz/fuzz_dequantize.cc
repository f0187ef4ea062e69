// Reads arbitrary bytes as blocks of the type that the first byte names, and packs the result again.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/quant/types.h"

namespace hearth {
namespace {

void Repack(const std::vector<float>& values) {
  for (const TensorType type : {TensorType::kF16, TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ4_0,
                                TensorType::kQ4_K, TensorType::kQ6_K}) {
    const auto bytes = RowBytes(type, values.size());
    if (!bytes.ok()) continue;
    std::vector<uint8_t> packed(*bytes);
    (void)Quantize(type, values, {}, absl::MakeSpan(packed)).ok();
  }
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const hearth::TypeInfo& info = hearth::AllTypes()[data[0] % hearth::AllTypes().size()];
  const size_t blocks = (size - 1) / info.block_bytes;
  std::vector<float> values(blocks * info.block_values);
  hearth::Dequantize(info.type, {data + 1, blocks * info.block_bytes}, values.size(), values.data());
  hearth::Repack(values);
  return 0;
}
