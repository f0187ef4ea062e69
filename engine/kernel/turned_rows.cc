#include "engine/kernel/turned_rows.h"

#include <cstring>

#include "engine/base/check.h"

namespace hearth {
namespace {

bool HoldsValues(TensorType type) { return GetTypeInfo(type).block_values == 1; }

// Code i of a file's block, as it is stored: a signed byte (Q8_0) or a nibble.
uint8_t ReadCode(TensorType type, const uint8_t* codes, size_t i) {
  if (type == TensorType::kQ8_0) return codes[i];
  return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4;
}

// Puts it at place i of a run, which was zero.
void WriteCode(TensorType type, size_t i, uint8_t code, uint8_t* codes) {
  if (type == TensorType::kQ8_0) {
    codes[i] = code;
  } else {
    codes[i % 16] |= static_cast<uint8_t>(i < 16 ? code : code << 4);
  }
}

}  // namespace

bool TurnedRows::Has(TensorType type, size_t n_embd) {
  if (HoldsValues(type)) {
    return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
  }
  return (type == TensorType::kQ8_0 || type == TensorType::kQ4_0) && n_embd % kUnit == 0;
}

TurnedRows::TurnedRows(TensorType type, size_t n_embd)
    : type_(type), n_embd_(n_embd), values_(HoldsValues(type)) {
  HEARTH_CHECK(Has(type, n_embd));
  run_bytes_ = type == TensorType::kQ8_0 ? 32 : 16;
  row_bytes_ = values_ ? n_embd * GetTypeInfo(type).block_bytes : n_embd / kUnit * run_bytes_;
}

void TurnedRows::Turn(const uint8_t* from, size_t first, size_t count, const Place& to) const {
  const size_t block_bytes = GetTypeInfo(type_).block_bytes;
  if (values_) {
    for (size_t i = 0; i < to.neurons; ++i) {
      uint8_t* row = to.rows + i * to.row_stride + first * block_bytes;
      for (size_t r = 0; r < count; ++r) {
        std::memcpy(row + r * block_bytes, from + (r * to.neurons + i) * block_bytes, block_bytes);
      }
    }
    return;
  }
  HEARTH_CHECK(first % kUnit == 0 && to.neurons % kUnit == 0);
  const size_t units = to.neurons / kUnit;
  for (size_t unit = 0; unit < units; ++unit) {
    for (size_t r = 0; r < count; ++r) {
      const uint8_t* block = from + (r * units + unit) * block_bytes;
      std::memcpy(to.scales + unit * scale_bytes() + (first + r) * sizeof(uint16_t), block, sizeof(uint16_t));
      uint8_t* run = to.rows + unit * kUnit * to.row_stride + (first + r) / kUnit * run_bytes_;
      for (size_t i = 0; i < kUnit; ++i, run += to.row_stride) {
        WriteCode(type_, r % kUnit, ReadCode(type_, block + sizeof(uint16_t), i), run);
      }
    }
  }
}

void TurnedRows::TurnBack(RowOf row, ScalesOf scales, size_t neurons, size_t first, size_t count,
                          uint8_t* out, size_t out_stride) const {
  const size_t block_bytes = GetTypeInfo(type_).block_bytes;
  for (size_t i = 0; i < neurons; ++i) {
    const uint8_t* const from = row(i);
    if (values_) {
      for (size_t r = 0; r < count; ++r) {
        std::memcpy(out + r * out_stride + i * block_bytes, from + (first + r) * block_bytes, block_bytes);
      }
      continue;
    }
    const uint8_t* const unit_scales = i % kUnit == 0 ? scales(i / kUnit) : nullptr;
    for (size_t r = 0; r < count; ++r) {
      uint8_t* block = out + r * out_stride + i / kUnit * block_bytes;
      const size_t output = first + r;
      if (unit_scales != nullptr) {
        std::memset(block, 0, block_bytes);
        std::memcpy(block, unit_scales + output * sizeof(uint16_t), sizeof(uint16_t));
      }
      const uint8_t code = ReadCode(type_, from + output / kUnit * run_bytes_, output % kUnit);
      WriteCode(type_, i % kUnit, code, block + sizeof(uint16_t));
    }
  }
}

}  // namespace hearth
