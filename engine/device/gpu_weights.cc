#include "engine/device/gpu_weights.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/gpu/pack_rows.h"
#include "engine/quant/half.h"

namespace hearth {
namespace {

// Bytes of file rows that are packed at a time.
constexpr size_t kPieceBytes = size_t{8} << 20;

std::optional<gpu::GpuType> OwnGpuType(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return gpu::GpuType::kF32;
    case TensorType::kF16:
      return gpu::GpuType::kF16;
    case TensorType::kBF16:
      return gpu::GpuType::kBF16;
    case TensorType::kQ4_0:
      return gpu::GpuType::kQ4_0;
    case TensorType::kQ4_1:
      return gpu::GpuType::kQ4_1;
    case TensorType::kQ5_0:
      return gpu::GpuType::kQ5_0;
    case TensorType::kQ5_1:
      return gpu::GpuType::kQ5_1;
    case TensorType::kQ8_0:
      return gpu::GpuType::kQ8_0;
    case TensorType::kQ3_K:
      return gpu::GpuType::kQ3_K;
    case TensorType::kQ4_K:
      return gpu::GpuType::kQ4_K;
    case TensorType::kQ5_K:
      return gpu::GpuType::kQ5_K;
    case TensorType::kQ6_K:
      return gpu::GpuType::kQ6_K;
    case TensorType::kIQ4_NL:
      return gpu::GpuType::kIQ4_NL;
    case TensorType::kIQ4_XS:
      return gpu::GpuType::kIQ4_XS;
    case TensorType::kMXFP4:
      return gpu::GpuType::kMXFP4;
    default:
      return std::nullopt;
  }
}

}  // namespace

gpu::GpuType GpuTypeOf(TensorType type, Arithmetic arithmetic) {
  return OwnGpuType(type).value_or(arithmetic == Arithmetic::kFloat32 ? gpu::GpuType::kF32
                                                                      : gpu::GpuType::kF16);
}

absl::StatusOr<std::unique_ptr<GpuUploader>> GpuUploader::Create(GpuMemory& memory, ThreadPool& pool,
                                                                 Arithmetic arithmetic) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<gpu::Gpu> stream, memory.OpenStream());
  return std::unique_ptr<GpuUploader>(new GpuUploader(memory, pool, arithmetic, std::move(stream)));
}

absl::Status GpuUploader::Finish() {
  stream_->Finish();
  if (stream_->error().empty()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("loading weights onto the GPU: ", stream_->error()));
}

absl::StatusOr<GpuLinear> GpuUploader::Rows(TensorType type, size_t rows, size_t cols,
                                            Matrix::RowReader read) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
  const gpu::GpuType gpu_type = GpuTypeOf(type, arithmetic_);
  const bool own = OwnGpuType(type).has_value();
  GpuLinear linear;
  gpu::GpuMatrix& matrix = linear.matrix;
  matrix.type = gpu_type;
  matrix.rows = static_cast<uint32_t>(rows);
  matrix.cols = gpu::PaddedCols(gpu_type, static_cast<uint32_t>(cols));
  const gpu::MatrixLayout layout = gpu::LayoutOf(gpu_type, rows, matrix.cols);
  HEARTH_ASSIGN_OR_RETURN(linear.memory, memory_.Allocate(layout.bytes));
  uint8_t* const base = linear.memory.as<uint8_t>();
  matrix.codes = base + layout.codes;
  matrix.high = base + layout.high;
  matrix.scales = base + layout.scales;
  matrix.super = base + layout.super;

  const gpu::PlaneBytes planes = gpu::PlanesOf(gpu_type);
  const size_t units = matrix.cols / gpu::kUnitCols, supers = matrix.cols / gpu::kSuperCols;
  const size_t packed_bytes = units * gpu::FileBytesOf8Units(gpu_type) / 8;  // of a row, filled up
  const size_t piece_rows = std::clamp<size_t>(kPieceBytes / std::max<size_t>(1, packed_bytes), 1, rows);
  raw_.resize(piece_rows * row_bytes);
  codes_.resize(piece_rows * units * planes.codes);
  high_.resize(piece_rows * units * planes.high);
  scales_.resize(piece_rows * units * planes.scales);
  super_.resize(piece_rows * supers * planes.super);
  const bool plain = own && packed_bytes == row_bytes;
  padded_.resize(plain ? 0 : piece_rows * packed_bytes);
  for (size_t first = 0; first < rows; first += piece_rows) {
    const size_t count = std::min(piece_rows, rows - first);
    pool_.ParallelFor(count, 16, [&](size_t begin, size_t end, int) {
      read(first + begin, end - begin, raw_.data() + begin * row_bytes);
      const uint8_t* from = raw_.data() + begin * row_bytes;
      if (!plain) {
        std::vector<float> values(own ? 0 : cols);
        for (size_t r = begin; r < end; ++r) {
          uint8_t* to = padded_.data() + r * packed_bytes;
          std::fill_n(to, packed_bytes, uint8_t{0});
          const uint8_t* row = raw_.data() + r * row_bytes;
          if (own) {
            std::copy_n(row, row_bytes, to);
            continue;
          }
          Dequantize(type, {row, row_bytes}, cols, values.data());
          if (gpu_type == gpu::GpuType::kF32) {
            std::copy_n(reinterpret_cast<const uint8_t*>(values.data()), cols * sizeof(float), to);
            continue;
          }
          for (size_t c = 0; c < cols; ++c) {
            const uint16_t half = FloatToHalf(std::clamp(values[c], -65504.0f, 65504.0f));
            std::copy_n(reinterpret_cast<const uint8_t*>(&half), sizeof(half), to + c * sizeof(half));
          }
        }
        from = padded_.data() + begin * packed_bytes;
      }
      gpu::PackRows(
          gpu_type, from, end - begin, units,
          {codes_.data() + begin * units * planes.codes, high_.data() + begin * units * planes.high,
           scales_.data() + begin * units * planes.scales, super_.data() + begin * supers * planes.super});
    });
    const auto copy = [&](const std::vector<uint8_t>& from, uint64_t plane, size_t bytes_per_row) {
      if (bytes_per_row > 0)
        stream_->CopyIn(base + plane + first * bytes_per_row, from.data(), count * bytes_per_row);
    };
    copy(codes_, layout.codes, units * planes.codes);
    copy(high_, layout.high, units * planes.high);
    copy(scales_, layout.scales, units * planes.scales);
    copy(super_, layout.super, supers * planes.super);
    HEARTH_RETURN_IF_ERROR(Finish());
  }
  return linear;
}

absl::StatusOr<GpuLinear> GpuUploader::Upload(const Matrix& matrix) {
  const uint8_t* const rows = matrix.borrowed_rows();
  HEARTH_CHECK(rows != nullptr);
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(matrix.type(), matrix.cols()));
  return Rows(matrix.type(), matrix.rows(), matrix.cols(), [&](size_t first, size_t count, uint8_t* out) {
    std::copy_n(rows + first * row_bytes, count * row_bytes, out);
  });
}

absl::StatusOr<GpuLinear> GpuUploader::Upload(const Linear& linear) {
  HEARTH_ASSIGN_OR_RETURN(GpuLinear loaded, Upload(linear.weights));
  HEARTH_ASSIGN_OR_RETURN(loaded.bias, Upload(linear.bias));
  loaded.scale = linear.scale;
  return loaded;
}

absl::StatusOr<GpuBuffer> GpuUploader::Upload(absl::Span<const float> values) {
  if (values.empty()) return GpuBuffer();
  HEARTH_ASSIGN_OR_RETURN(GpuBuffer buffer, memory_.Allocate(values.size() * sizeof(float)));
  stream_->CopyIn(buffer.as<float>(), values.data(), values.size() * sizeof(float));
  HEARTH_RETURN_IF_ERROR(Finish());
  return buffer;
}

}  // namespace hearth
