#include <algorithm>

#include "engine/attention/mixer.h"
#include "engine/kernel/neuron_rows.h"
#include "engine/kernel/vector_ops.h"

namespace hearth {
namespace {

// The sizes of one latent attention layer.
struct LatentDims {
  explicit LatentDims(const AttentionSpec& attention)
      : heads(attention.heads),
        plain(attention.key_dim - attention.rotated_dim),
        rotated(attention.rotated_dim),
        latent(attention.latent_rank),
        value(attention.value_dim) {}

  size_t heads, plain, rotated, latent, value;
  size_t cached() const { return latent + rotated; }
};

class LatentAttention {
 public:
  LatentAttention(const LayerSpec& layer, const LatentAttentionWeights& weights, MixStep& step)
      : attention_(layer.attention),
        weights_(weights),
        step_(step),
        dims_(attention_),
        angles_(step.angles(layer)) {}

  // Normalises the latents, rotates the shared keys and caches both.
  void StoreKeys(KvLayer& cache) {
    const Norm& norm = weights_.kv_down_norm;
    const bool far = angles_ != nullptr && angles_->window() > 0;
    step_.ForEachRow([&](uint32_t t) {
      const RowPlace& row = step_.rows[t];
      float* key = step_.key.data() + t * dims_.cached();
      RmsNorm(key, norm.weight.data(), step_.model().norm_epsilon, dims_.latent, key);
      if (far) {
        float* far_key = step_.far_key.data() + t * dims_.cached();
        std::copy_n(key, dims_.cached(), far_key);
        angles_->RotateFarKey(t, 1, static_cast<uint32_t>(dims_.cached()), attention_.latent_rank, far_key);
        cache.StoreFarKey(row.sequence, row.position, far_key, dims_.cached());
      }
      if (angles_ != nullptr)
        angles_->Rotate(t, 1, static_cast<uint32_t>(dims_.cached()), attention_.latent_rank, key);
      cache.StoreKey(row.sequence, row.position, key, dims_.cached());
    });
  }

  // projected (rows, heads, key_dim) to query (rows, heads, latent + rotated).
  void AbsorbQueries(const float* projected) {
    const bool far = angles_ != nullptr && angles_->window() > 0;
    step_.work.ForEach(step_.row_count() * dims_.heads, [&](uint32_t i) {
      const uint32_t t = static_cast<uint32_t>(i / dims_.heads);
      const size_t head = i % dims_.heads;
      const float* from = projected + i * (dims_.plain + dims_.rotated);
      float* query = step_.query.data() + i * dims_.cached();
      AbsorbHead(head, from, query);
      std::copy_n(from + dims_.plain, dims_.rotated, query + dims_.latent);
      const float temperature = AttentionTemperature(attention_, step_.rows[t].position);
      if (temperature != 1) Scale(temperature, dims_.cached(), query);
      if (far) {
        float* far_query = step_.far_query.data() + i * dims_.cached();
        std::copy_n(query, dims_.cached(), far_query);
        angles_->RotateFarQuery(t, 1, 0, attention_.latent_rank, far_query);
      }
      if (angles_ != nullptr) angles_->Rotate(t, 1, 0, attention_.latent_rank, query);
    });
    step_.work.bytes_touched += weights_.key_up.rows * weights_.key_up.row_bytes;
  }

  // attended (rows, heads, latent) to decompressed (rows, heads, value_dim).
  void DecompressResults() {
    const RowTable& up = weights_.value_up;
    const size_t head_rows = attention_.split_kv_b ? dims_.value : dims_.plain + dims_.value;
    const size_t first = attention_.split_kv_b ? 0 : dims_.plain;
    step_.work.ForEach(step_.row_count() * dims_.heads, [&](uint32_t i) {
      const size_t row = (i % dims_.heads) * head_rows + first;
      DotRows(up.type, up.data + row * up.row_bytes, up.row_bytes, up.cols, Ids(dims_.value),
              step_.attended.data() + i * dims_.latent, step_.decompressed.data() + i * dims_.value);
    });
    if (attention_.split_kv_b) step_.work.bytes_touched += up.rows * up.row_bytes;
  }

 private:
  // query[j] = sum_i k_up[i][j] * from[i]: the latent's weights for this query.
  void AbsorbHead(size_t head, const float* from, float* query) {
    const RowTable& up = weights_.key_up;
    if (attention_.split_kv_b) {
      const uint8_t* rows = up.data + head * dims_.latent * up.row_bytes;
      return DotRows(up.type, rows, up.row_bytes, up.cols, Ids(dims_.latent), from, query);
    }
    const uint8_t* rows = up.data + head * (dims_.plain + dims_.value) * up.row_bytes;
    std::fill_n(query, dims_.latent, 0.0f);
    AccumulateRows(up.type, rows, up.row_bytes, up.cols, Ids(dims_.plain), from, query);
  }

  absl::Span<const uint32_t> Ids(size_t count) const {
    return absl::MakeConstSpan(step_.row_ids).first(count);
  }

  const AttentionSpec& attention_;
  const LatentAttentionWeights& weights_;
  MixStep& step_;
  LatentDims dims_;
  const RopeAngles* angles_;
};

}  // namespace

const float* AttendLatent(const LayerSpec& layer, const LatentAttentionWeights& weights, const float* input,
                          KvLayer& cache, MixStep& step) {
  const AttentionSpec& attention = layer.attention;
  const ModelSpec& model = step.model();
  step.work.activations.Set(input, step.row_count(), model.n_embd, model.n_embd);
  float* projected = step.projected.data();
  if (attention.query_rank > 0) {
    float* compressed = projected + size_t{step.row_count()} * attention.heads * attention.key_dim;
    ApplyLinear(step.work, {{&weights.query_down, compressed}, {&weights.kv_down, step.key.data()}});
    ApplyNorm(step.work, NormFormula(model), weights.query_down_norm, step.row_count(), attention.query_rank,
              compressed, compressed);
    ApplyLinear(step.work, weights.query, compressed, step.row_count(), projected);
  } else {
    ApplyLinear(step.work, {{&weights.query, projected}, {&weights.kv_down, step.key.data()}});
  }

  LatentAttention latent(layer, weights, step);
  latent.StoreKeys(cache);
  latent.AbsorbQueries(projected);

  AttentionShape shape;
  shape.query_heads = attention.heads;
  shape.kv_heads = 1;
  shape.key_dim = layer.cached_key_values();
  shape.value_dim = attention.latent_rank;
  shape.scale = attention.scale;
  shape.far_distance = attention.rope ? step.angles(layer)->window() : 0;
  RunAttention(layer, shape, cache, step);

  latent.DecompressResults();
  return step.decompressed.data();
}

}  // namespace hearth
