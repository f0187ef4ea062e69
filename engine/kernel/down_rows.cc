#include "engine/kernel/down_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/down_kernel.h"
#include "engine/kernel/scratch.h"
#include "engine/quant/blocks.h"

namespace hearth {
namespace {

absl::StatusOr<WeightMemory> AllocateRows(size_t rows, size_t row_bytes) {
  const std::optional<size_t> bytes = CheckedMul(rows, row_bytes);
  if (!bytes) return absl::ResourceExhaustedError("a matrix too large for the address space");
  return WeightMemory::Allocate(*bytes);
}

bool IsValueType(TensorType type) { return GetTypeInfo(type).block_values == 1; }

// Bytes of a run of 32 codes.
size_t CodeBytes(TensorType type) { return type == TensorType::kQ8_0 ? 32 : 16; }

// Code i of a file's block, as it is stored: a signed byte (Q8_0) or a nibble.
uint8_t ReadCode(TensorType type, const uint8_t* block, size_t i) {
  const uint8_t* codes = block + sizeof(uint16_t);
  if (type == TensorType::kQ8_0) return codes[i];
  return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4;
}

// Puts it at place i of a run, which was zero.
void WriteCode(TensorType type, size_t i, uint8_t code, uint8_t* run) {
  if (type == TensorType::kQ8_0) {
    run[i] = code;
  } else {
    run[i % 16] |= static_cast<uint8_t>(i < 16 ? code : code << 4);
  }
}

}  // namespace

bool DownRows::CanTurn(TensorType type, size_t n_embd) {
  if (IsValueType(type)) {
    return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
  }
  return (type == TensorType::kQ8_0 || type == TensorType::kQ4_0) && n_embd % kDownUnit == 0;
}

absl::StatusOr<DownRows> DownRows::ByNeuron(TensorType type, size_t neurons, size_t n_embd,
                                            Matrix::RowReader read, ThreadPool& pool) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, n_embd));
  DownRows down;
  down.kind_ = Kind::kByNeuron;
  down.type_ = type;
  down.neurons_ = neurons;
  down.n_embd_ = n_embd;
  down.row_bytes_ = row_bytes;
  HEARTH_ASSIGN_OR_RETURN(down.rows_, AllocateRows(neurons, row_bytes));
  constexpr size_t kRowsPerPiece = 64;
  pool.ParallelFor(neurons, kRowsPerPiece, [&](size_t begin, size_t end, int) {
    read(begin, end - begin, down.rows_.data() + begin * row_bytes);
  });
  return down;
}

absl::StatusOr<DownRows> DownRows::Turn(TensorType type, size_t n_embd, size_t neurons,
                                        Matrix::RowReader read, ThreadPool& pool) {
  HEARTH_CHECK(CanTurn(type, n_embd));
  HEARTH_ASSIGN_OR_RETURN(const uint64_t file_row_bytes, RowBytes(type, neurons));
  const bool values = IsValueType(type);
  DownRows down;
  down.kind_ = values ? Kind::kTurnedValues : Kind::kTurnedCodes;
  down.type_ = type;
  down.neurons_ = neurons;
  down.n_embd_ = n_embd;
  down.row_bytes_ = values ? n_embd * GetTypeInfo(type).block_bytes : n_embd / kDownUnit * CodeBytes(type);
  HEARTH_ASSIGN_OR_RETURN(down.rows_, AllocateRows(neurons, down.row_bytes_));
  if (!values) {
    HEARTH_ASSIGN_OR_RETURN(down.scales_, AllocateRows(neurons / kDownUnit, n_embd * sizeof(uint16_t)));
  }
  std::vector<Scratch<uint8_t>> buffers(static_cast<size_t>(pool.threads()));
  pool.ParallelFor(n_embd, kDownUnit, [&](size_t begin, size_t end, int thread) {
    uint8_t* buffer = buffers[static_cast<size_t>(thread)].Reserve((end - begin) * file_row_bytes);
    read(begin, end - begin, buffer);
    if (values) {
      down.TurnValues(buffer, begin, end - begin);
    } else {
      down.TurnCodes(buffer, begin, end - begin);
    }
  });
  return down;
}

void DownRows::TurnValues(const uint8_t* from, size_t first, size_t count) {
  const size_t bytes = GetTypeInfo(type_).block_bytes;
  for (size_t i = 0; i < neurons_; ++i) {
    uint8_t* to = rows_.data() + i * row_bytes_ + first * bytes;
    for (size_t r = 0; r < count; ++r) std::memcpy(to + r * bytes, from + (r * neurons_ + i) * bytes, bytes);
  }
}

void DownRows::TurnCodes(const uint8_t* from, size_t first, size_t count) {
  const size_t block_bytes = GetTypeInfo(type_).block_bytes, units = neurons_ / kDownUnit;
  for (size_t unit = 0; unit < units; ++unit) {
    for (size_t r = 0; r < count; ++r) {
      const uint8_t* block = from + (r * units + unit) * block_bytes;
      std::memcpy(scales_.data() + (unit * n_embd_ + first + r) * sizeof(uint16_t), block, sizeof(uint16_t));
      uint8_t* run = rows_.data() + unit * kDownUnit * row_bytes_ + first / kDownUnit * CodeBytes(type_);
      for (size_t i = 0; i < kDownUnit; ++i, run += row_bytes_) {
        WriteCode(type_, r, ReadCode(type_, block, i), run);
      }
    }
  }
}

uint64_t DownRows::BytesOf(absl::Span<const uint32_t> ids) const {
  uint64_t bytes = ids.size() * row_bytes_;
  if (kind_ != Kind::kTurnedCodes) return bytes;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i == 0 || ids[i] / kDownUnit != ids[i - 1] / kDownUnit) bytes += n_embd_ * sizeof(uint16_t);
  }
  return bytes;
}

// The rounding of Activations, of whose units only the values that are not zero are here.
void DownRows::Round(absl::Span<const uint32_t> ids, float* values, float* scales) const {
  if (kind_ != Kind::kTurnedCodes) return;
  for (size_t begin = 0, end; begin < ids.size(); begin = end) {
    float magnitude = 0;
    for (end = begin; end < ids.size() && ids[end] / kDownUnit == ids[begin] / kDownUnit; ++end) {
      magnitude = std::max(magnitude, std::fabs(values[end]));
    }
    const float inverse = magnitude > 0 ? 127.0f / magnitude : 0.0f;
    for (size_t i = begin; i < end; ++i) {
      values[i] = std::nearbyintf(values[i] * inverse);
      scales[i] = magnitude / 127.0f;
    }
  }
}

void DownRows::Accumulate(const FiringNeurons& firing, uint32_t group_begin, size_t begin, size_t end,
                          float* buffer, int64_t* sums) const {
  if (firing.ids.empty() || begin == end) return;
  DownKernel::Run(*this, {firing, group_begin, begin, end, buffer, sums});
}

DownKernel::Order DownKernel::OrderOf(const DownRows& down) {
  switch (down.kind_) {
    case DownRows::Kind::kByNeuron:
      return Order::kChain;
    case DownRows::Kind::kTurnedValues:
      return Order::kPieces;
    case DownRows::Kind::kTurnedCodes:
      return Order::kUnits;
  }
  return Order::kChain;
}

}  // namespace hearth
