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
#include "engine/kernel/row_writer.h"
#include "engine/kernel/scratch.h"
#include "engine/kernel/turned_rows.h"

namespace hearth {
namespace {

absl::StatusOr<WeightMemory> AllocateRows(size_t rows, size_t row_bytes) {
  const std::optional<size_t> bytes = CheckedMul(rows, row_bytes);
  if (!bytes) return absl::ResourceExhaustedError("a matrix too large for the address space");
  return WeightMemory::Allocate(*bytes);
}

}  // namespace

DownRowForm::DownRowForm(TensorType type, size_t n_embd, Arithmetic arithmetic)
    : type_(type),
      bytes_(n_embd / GetTypeInfo(type).block_values * GetTypeInfo(type).block_bytes),
      sums_codes_(arithmetic == Arithmetic::kFast &&
                  (type == TensorType::kQ4_0 || type == TensorType::kQ8_0)) {}

void DownRowForm::Write(const uint8_t* row, uint8_t* out) const {
  if (!sums_codes_) {
    std::memcpy(out, row, bytes_);
    return;
  }
  const size_t block_bytes = GetTypeInfo(type_).block_bytes, blocks = bytes_ / block_bytes;
  constexpr size_t kScale = sizeof(uint16_t);
  uint8_t* codes = out + blocks * kScale;
  for (size_t b = 0; b < blocks; ++b, row += block_bytes, codes += block_bytes - kScale) {
    std::memcpy(out + b * kScale, row, kScale);
    std::memcpy(codes, row + kScale, block_bytes - kScale);
  }
}

absl::StatusOr<DownRows> DownRows::ByNeuron(TensorType type, size_t neurons, size_t n_embd,
                                            Matrix::RowReader read, ThreadPool& pool, Arithmetic arithmetic) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, n_embd));
  DownRows down = ViewByNeuron(type, neurons, n_embd, nullptr, 0, arithmetic);
  HEARTH_ASSIGN_OR_RETURN(down.rows_, AllocateRows(neurons, row_bytes));
  WriteRows(DownRowForm(type, n_embd, arithmetic), neurons, read, pool, down.rows_.data());
  return down;
}

absl::StatusOr<DownRows> DownRows::Turn(TensorType type, size_t n_embd, size_t neurons,
                                        Matrix::RowReader read, ThreadPool& pool) {
  const TurnedRows turned(type, n_embd);
  HEARTH_ASSIGN_OR_RETURN(const uint64_t file_row_bytes, RowBytes(type, neurons));
  DownRows down = ViewTurned(type, neurons, n_embd, nullptr, 0, {});
  HEARTH_ASSIGN_OR_RETURN(down.rows_, AllocateRows(neurons, down.row_bytes_));
  HEARTH_ASSIGN_OR_RETURN(down.scales_, AllocateRows(neurons / kDownUnit, turned.scale_bytes()));
  const TurnedRows::Place to = {neurons, down.rows_.data(), down.row_bytes_, down.scales_.data()};
  std::vector<Scratch<uint8_t>> buffers(static_cast<size_t>(pool.threads()));
  pool.ParallelFor(n_embd, kDownUnit, [&](size_t begin, size_t end, int thread) {
    uint8_t* buffer = buffers[static_cast<size_t>(thread)].Reserve((end - begin) * file_row_bytes);
    read(begin, end - begin, buffer);
    turned.Turn(buffer, begin, end - begin, to);
  });
  return down;
}

DownRows DownRows::ViewByNeuron(TensorType type, size_t neurons, size_t n_embd, const uint8_t* const* places,
                                size_t offset, Arithmetic arithmetic) {
  const DownRowForm form(type, n_embd, arithmetic);
  DownRows down;
  down.kind_ = form.sums_codes() ? Kind::kCodesByNeuron : Kind::kByNeuron;
  down.type_ = type;
  down.neurons_ = neurons;
  down.n_embd_ = n_embd;
  down.row_bytes_ = form.bytes();
  down.places_ = places;
  down.offset_ = offset;
  return down;
}

DownRows DownRows::ViewTurned(TensorType type, size_t neurons, size_t n_embd, const uint8_t* const* places,
                              size_t offset, WeightMemory scales) {
  const TurnedRows turned(type, n_embd);
  DownRows down;
  down.kind_ = turned.scale_bytes() == 0 ? Kind::kTurnedValues : Kind::kTurnedCodes;
  down.type_ = type;
  down.neurons_ = neurons;
  down.n_embd_ = n_embd;
  down.row_bytes_ = turned.row_bytes();
  down.places_ = places;
  down.offset_ = offset;
  down.scales_ = std::move(scales);
  return down;
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
    case DownRows::Kind::kCodesByNeuron:
      return Order::kSpans;
    case DownRows::Kind::kTurnedValues:
      return Order::kPieces;
    case DownRows::Kind::kTurnedCodes:
      return Order::kUnits;
  }
  return Order::kChain;
}

}  // namespace hearth
