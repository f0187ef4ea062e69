#include "engine/device/gpu_latent.h"

#include <algorithm>
#include <utility>

#include "engine/base/status_macros.h"
#include "engine/device/gpu_products.h"

namespace hearth {
namespace {

absl::StatusOr<GpuLinear> UploadTable(const RowTable& table, GpuUploader& uploader) {
  HEARTH_ASSIGN_OR_RETURN(const Matrix matrix, Matrix::Borrow(table.type, table.rows, table.cols,
                                                              {table.data, table.rows * table.row_bytes}));
  return uploader.Upload(matrix);
}

uint32_t PlainDims(const AttentionSpec& attention) { return attention.key_dim - attention.rotated_dim; }

}  // namespace

absl::Status GpuLatent::Load(const LatentAttentionWeights& weights, GpuUploader& uploader) {
  if (weights.query_down.weights.rows() > 0) {
    HEARTH_ASSIGN_OR_RETURN(query_down_, uploader.Upload(weights.query_down));
    HEARTH_ASSIGN_OR_RETURN(query_down_norm_, uploader.Upload(weights.query_down_norm.weight));
    HEARTH_ASSIGN_OR_RETURN(query_down_norm_bias_, uploader.Upload(weights.query_down_norm.bias));
  }
  HEARTH_ASSIGN_OR_RETURN(query_, uploader.Upload(weights.query));
  HEARTH_ASSIGN_OR_RETURN(kv_down_, uploader.Upload(weights.kv_down));
  HEARTH_ASSIGN_OR_RETURN(latent_norm_, uploader.Upload(weights.kv_down_norm.weight));
  HEARTH_ASSIGN_OR_RETURN(key_up_, UploadTable(weights.key_up, uploader));
  if (weights.value_up.data != weights.key_up.data) {
    HEARTH_ASSIGN_OR_RETURN(value_up_, UploadTable(weights.value_up, uploader));
  }
  return absl::OkStatus();
}

void GpuLatent::AddNeeds(const AttentionSpec& attention, GpuNeeds& needs) {
  needs.projected = std::max(
      {needs.projected, attention.heads * attention.key_dim, attention.heads * attention.latent_rank});
  needs.query_rank = std::max(needs.query_rank, attention.query_rank);
}

void GpuLatent::Project(const ModelSpec& model, const AttentionSpec& attention, uint32_t rows, bool exact,
                        GpuScratch& scratch, gpu::Gpu& stream) const {
  float* const projected = scratch.projected.as<float>();
  const LinearOut kv_down = {kv_down_, scratch.key.as<float>(), kv_down_.matrix.rows};
  const LinearOut query = {query_, projected, query_.matrix.rows};
  if (query_down_.empty()) {
    MultiplyRows({query, kv_down}, scratch.x, rows, exact, stream);
  } else {
    GpuActivations& compressed = scratch.compressed;
    gpu::ResidualArgs norm;
    norm.x = scratch.compressed_raw.as<float>();
    norm.norm = {true, model.norm == NormKind::kLayer, model.norm_epsilon, query_down_norm_.as<const float>(),
                 query_down_norm_bias_.as<const float>()};
    norm.out = compressed.values();
    norm.stride = compressed.cols();
    norm.cols = attention.query_rank;
    norm.rows = rows;
    MultiplyRows({{query_down_, norm.x, norm.stride}, kv_down}, scratch.x, rows, exact, stream);
    stream.Residual(norm);
    compressed.Reset();
    MultiplyRows({query}, compressed, rows, exact, stream);
  }

  gpu::HeadProductArgs absorb;
  absorb.weights = key_up_.matrix;
  absorb.heads = attention.heads;
  absorb.transposed = !attention.split_kv_b;
  if (attention.split_kv_b) {
    absorb.head_rows = absorb.rows = attention.latent_rank;
    absorb.cols = PlainDims(attention);
  } else {
    absorb.head_rows = PlainDims(attention) + attention.value_dim;
    absorb.rows = PlainDims(attention);
    absorb.cols = attention.latent_rank;
  }
  absorb.x = projected;
  absorb.x_head = attention.key_dim;
  absorb.x_stride = attention.heads * absorb.x_head;
  absorb.out = scratch.query.as<float>();
  absorb.out_head = attention.latent_rank + attention.rotated_dim;
  absorb.out_stride = attention.heads * absorb.out_head;
  absorb.kept = attention.rotated_dim;
  absorb.count = rows;
  stream.HeadProducts(absorb);
}

void GpuLatent::Decompress(const AttentionSpec& attention, uint32_t rows, uint32_t out_stride,
                           GpuScratch& scratch, gpu::Gpu& stream) const {
  gpu::HeadProductArgs up;
  up.weights = value_up_.empty() ? key_up_.matrix : value_up_.matrix;
  up.heads = attention.heads;
  up.first_row = attention.split_kv_b ? 0 : PlainDims(attention);
  up.head_rows = up.first_row + attention.value_dim;
  up.rows = attention.value_dim;
  up.cols = attention.latent_rank;
  up.x = scratch.projected.as<const float>();
  up.x_head = attention.latent_rank;
  up.x_stride = attention.heads * up.x_head;
  up.out = scratch.attended.values();
  up.out_head = attention.value_dim;
  up.out_stride = out_stride;
  up.count = rows;
  stream.HeadProducts(up);
}

uint64_t GpuLatent::bytes() const {
  return query_down_.bytes() + query_.bytes() + kv_down_.bytes() + query_down_norm_.bytes() +
         query_down_norm_bias_.bytes() + latent_norm_.bytes() + key_up_.bytes() + value_up_.bytes();
}

}  // namespace hearth
