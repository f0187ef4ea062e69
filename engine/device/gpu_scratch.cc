#include "engine/device/gpu_scratch.h"

#include <algorithm>

#include "engine/base/status_macros.h"
#include "engine/gpu/gpu_matrix.h"

namespace hearth {
namespace {

// Rows of a feed-forward block's pass: as many as keep a large GPU busy, and few enough for a small one's
// memory.
constexpr uint32_t kPassRows = 256;

// Columns of a row of float32 values in whole units.
uint32_t Filled(uint32_t cols) { return gpu::PaddedCols(gpu::GpuType::kF32, cols); }

}  // namespace

absl::StatusOr<GpuActivations::Codes> GpuActivations::MakeCodes(GpuMemory& memory, uint64_t rows,
                                                                uint32_t cols) {
  const uint64_t units = rows * (cols / gpu::kUnitCols);
  Codes made;
  HEARTH_ASSIGN_OR_RETURN(made.codes, memory.Allocate(units * gpu::kUnitCols));
  HEARTH_ASSIGN_OR_RETURN(made.scales, memory.Allocate(units * sizeof(float)));
  HEARTH_ASSIGN_OR_RETURN(made.half_sums, memory.Allocate(units * sizeof(int32_t)));
  return made;
}

absl::StatusOr<GpuActivations> GpuActivations::Create(GpuMemory& memory, uint32_t rows, uint32_t cols) {
  HEARTH_ASSIGN_OR_RETURN(GpuActivations made, CreateCodes(memory, rows, cols));
  HEARTH_ASSIGN_OR_RETURN(made.memory_, memory.Allocate(uint64_t{rows} * made.cols_ * sizeof(float)));
  made.values_ = made.memory_.as<float>();
  return made;
}

absl::StatusOr<GpuActivations> GpuActivations::CreateCodes(GpuMemory& memory, uint32_t rows, uint32_t cols) {
  GpuActivations made;
  made.cols_ = Filled(cols);
  HEARTH_ASSIGN_OR_RETURN(made.small_, MakeCodes(memory, rows, made.cols_));
  HEARTH_ASSIGN_OR_RETURN(made.large_, MakeCodes(memory, rows, made.cols_));
  return made;
}

gpu::GpuRows GpuActivations::RoundedBy(gpu::GpuType type, bool exact) const {
  gpu::GpuRows rows;
  rows.values = values();
  rows.cols = cols_;
  if (exact || !gpu::HasCodes(type)) return rows;
  const Codes& made = gpu::ActivationCols(type) == gpu::kUnitCols ? small_ : large_;
  rows.codes = made.codes.as<int8_t>();
  rows.scales = made.scales.as<float>();
  rows.half_sums = made.half_sums.as<int32_t>();
  return rows;
}

gpu::GpuRows GpuActivations::For(gpu::GpuType type, bool exact, uint32_t rows, gpu::Gpu& stream) {
  const gpu::GpuRows for_type = RoundedBy(type, exact);
  if (for_type.codes == nullptr) return for_type;
  bool& made = gpu::ActivationCols(type) == gpu::kUnitCols ? small_made_ : large_made_;
  if (!made) stream.Round({for_type, rows, gpu::ActivationCols(type)});
  made = true;
  return for_type;
}

uint64_t GpuActivations::Bytes(uint32_t rows, uint32_t cols) {
  const uint64_t units = uint64_t{rows} * (Filled(cols) / gpu::kUnitCols);
  return units * (gpu::kUnitCols * sizeof(float) + 2 * (gpu::kUnitCols + sizeof(float) + sizeof(int32_t)));
}

uint64_t GpuScratch::Bytes(const GpuNeeds& needs) {
  const uint64_t rows = needs.max_rows;
  // As for a GPU that runs whole layers: residual and normed rows, and the predictor's hidden ones.
  uint64_t bytes = GpuActivations::Bytes(needs.max_rows, 3 * needs.n_embd + 2 * needs.predictor_rank +
                                                             needs.results + needs.query_rank) +
                   GpuActivations::Bytes(gpu::kMaxTokens, needs.n_embd) +
                   GpuActivations::Bytes(needs.pass_rows(), needs.neurons);
  bytes += rows * needs.output_values * sizeof(int64_t);
  bytes +=
      sizeof(float) * (gpu::kMaxTokens * (uint64_t{1} * needs.neurons + needs.output_rows) +
                       needs.pass_rows() * (uint64_t{2} * needs.neurons) +
                       rows * (uint64_t{2} * needs.blocks_per_row + needs.query + needs.key + needs.value +
                               needs.projected + Filled(needs.query_rank) + needs.rope_values + 4) +
                       needs.partial_floats);
  constexpr uint64_t kBuffers = 40;
  return bytes + kBuffers * GpuMemory::kPageBytes;
}

uint32_t GpuNeeds::pass_rows() const { return std::clamp(max_rows, gpu::kMaxTokens, kPassRows); }

uint64_t GpuNeeds::InputBytes(uint64_t rows) const {
  const uint64_t values =
      uint64_t{Filled(n_embd)} + Filled(predictor_rank) + rope_values + uint64_t{2} * blocks_per_row;
  constexpr uint64_t kParts = 32, kPartEnd = 16;
  return rows * (values * sizeof(float) + sizeof(gpu::GpuPlace) + sizeof(gpu::RowTile)) + kParts * kPartEnd;
}

absl::StatusOr<GpuScratch> GpuScratch::Create(GpuMemory& memory, const GpuNeeds& needs) {
  GpuScratch made;
  made.pass_rows = needs.pass_rows();
  const uint32_t rows = needs.max_rows;
  const auto take = [&](GpuBuffer& buffer, uint64_t count, uint64_t each) -> absl::Status {
    if (count == 0) return absl::OkStatus();
    HEARTH_ASSIGN_OR_RETURN(buffer, memory.Allocate(count * each));
    return absl::OkStatus();
  };
  HEARTH_ASSIGN_OR_RETURN(made.input, memory.Allocate(needs.InputBytes(rows)));
  HEARTH_ASSIGN_OR_RETURN(made.x, GpuActivations::CreateCodes(memory, rows, needs.n_embd));
  if (needs.leads) {
    HEARTH_ASSIGN_OR_RETURN(made.residual, GpuActivations::CreateCodes(memory, rows, needs.n_embd));
    HEARTH_RETURN_IF_ERROR(take(made.normed, uint64_t{rows} * made.x.cols(), sizeof(float)));
  }
  HEARTH_RETURN_IF_ERROR(take(made.sums, uint64_t{rows} * needs.output_values, sizeof(int64_t)));
  if (needs.neurons > 0) {
    HEARTH_ASSIGN_OR_RETURN(made.scaled_x, GpuActivations::Create(memory, gpu::kMaxTokens, needs.n_embd));
    HEARTH_ASSIGN_OR_RETURN(made.h, GpuActivations::Create(memory, needs.pass_rows(), needs.neurons));
    HEARTH_RETURN_IF_ERROR(take(made.scores, uint64_t{gpu::kMaxTokens} * needs.neurons, sizeof(float)));
    for (GpuBuffer* buffer : {&made.gate, &made.up}) {
      HEARTH_RETURN_IF_ERROR(take(*buffer, uint64_t{needs.pass_rows()} * needs.neurons, sizeof(float)));
    }
    if (needs.predictor_rank > 0) {
      HEARTH_ASSIGN_OR_RETURN(made.hidden, GpuActivations::CreateCodes(memory, rows, needs.predictor_rank));
      if (needs.leads) {
        HEARTH_RETURN_IF_ERROR(take(made.predicted, uint64_t{rows} * made.hidden.cols(), sizeof(float)));
      }
    }
  }
  if (needs.query > 0) {
    HEARTH_ASSIGN_OR_RETURN(made.attended, GpuActivations::Create(memory, rows, needs.results));
    HEARTH_RETURN_IF_ERROR(take(made.query, uint64_t{rows} * needs.query, sizeof(float)));
    HEARTH_RETURN_IF_ERROR(take(made.key, uint64_t{rows} * needs.key, sizeof(float)));
    HEARTH_RETURN_IF_ERROR(take(made.value, uint64_t{rows} * needs.value, sizeof(float)));
    HEARTH_RETURN_IF_ERROR(take(made.projected, uint64_t{rows} * needs.projected, sizeof(float)));
    if (needs.query_rank > 0) {
      HEARTH_ASSIGN_OR_RETURN(made.compressed, GpuActivations::Create(memory, rows, needs.query_rank));
      HEARTH_RETURN_IF_ERROR(
          take(made.compressed_raw, uint64_t{rows} * made.compressed.cols(), sizeof(float)));
    }
    HEARTH_RETURN_IF_ERROR(take(made.partial, needs.partial_floats, sizeof(float)));
  }
  HEARTH_RETURN_IF_ERROR(take(made.logits, uint64_t{gpu::kMaxTokens} * needs.output_rows, sizeof(float)));
  return made;
}

}  // namespace hearth
