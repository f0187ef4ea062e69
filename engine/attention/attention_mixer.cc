#include <algorithm>
#include <cmath>

#include "engine/attention/mixer.h"
#include "engine/kernel/attention.h"
#include "engine/kernel/vector_ops.h"

namespace hearth {
namespace {

void Clamp(float limit, size_t n, float* x) {
  if (limit <= 0) return;
  for (size_t i = 0; i < n; ++i) x[i] = std::clamp(x[i], -limit, limit);
}

// Normalises the heads of one row of queries or keys as the spec says.
void NormalizeHeads(const ModelSpec& model, const AttentionSpec& attention, const Norm& norm, uint32_t heads,
                    float* x) {
  if (!norm.present) return;
  const uint32_t dim = attention.key_dim;
  const float* weight = norm.weight.empty() ? nullptr : norm.weight.data();
  const float* bias = norm.bias.empty() ? nullptr : norm.bias.data();
  const NormFormula formula(attention.qk_norm == QkNorm::kUnweighted ? NormKind::kRms : model.norm,
                            model.norm_epsilon);
  if (attention.qk_norm == QkNorm::kWhole) {
    return NormalizeVector(formula, weight, bias, size_t{heads} * dim, x, x);
  }
  const size_t weight_stride = attention.qk_norm == QkNorm::kPerHeadWeights ? dim : 0;
  for (uint32_t h = 0; h < heads; ++h) {
    const size_t offset = h * weight_stride;
    NormalizeVector(formula, weight == nullptr ? nullptr : weight + offset,
                    bias == nullptr ? nullptr : bias + offset, dim, x + size_t{h} * dim, x + size_t{h} * dim);
  }
}

// Norm and rotation, in the spec's order.
template <class Rotation>
void FinishHeads(const ModelSpec& model, const AttentionSpec& attention, const Norm& norm, uint32_t heads,
                 float* x, Rotation rotate) {
  if (!attention.qk_norm_after_rope) NormalizeHeads(model, attention, norm, heads, x);
  rotate(x);
  if (attention.qk_norm_after_rope) NormalizeHeads(model, attention, norm, heads, x);
}

// Queries, keys and values of one row: finished, the keys and values cached.
class RowFinisher {
 public:
  RowFinisher(const LayerSpec& layer, const AttentionWeights& weights, KvLayer& cache, MixStep& step)
      : model_(step.model()),
        attention_(layer.attention),
        weights_(weights),
        cache_(cache),
        step_(step),
        angles_(step.angles(layer)),
        query_size_(size_t{attention_.heads} * attention_.key_dim),
        key_size_(layer.cached_key_values()),
        value_size_(layer.cached_value_values()) {}

  void Finish(uint32_t t) {
    float* query = step_.query.data() + t * query_size_;
    float* key = step_.key.data() + t * key_size_;
    float* value = step_.value.data() + t * value_size_;
    Clamp(attention_.clamp_qkv, query_size_, query);
    Clamp(attention_.clamp_qkv, key_size_, key);
    Clamp(attention_.clamp_qkv, value_size_, value);
    if (angles_ != nullptr && angles_->window() > 0) FinishFar(t, query, key);

    const auto rotate = [&](uint32_t heads) {
      return [this, t, heads](float* x) {
        if (angles_ != nullptr) angles_->Rotate(t, heads, attention_.key_dim, 0, x);
      };
    };
    FinishHeads(model_, attention_, weights_.query_norm, attention_.heads, query, rotate(attention_.heads));
    FinishHeads(model_, attention_, weights_.key_norm, attention_.kv_heads, key, rotate(attention_.kv_heads));
    ScaleQuery(t, query);
    const RowPlace& row = step_.rows[t];
    cache_.StoreKey(row.sequence, row.position, key, key_size_);
    cache_.StoreValue(row.sequence, row.position, value, value_size_);
  }

 private:
  // ReRoPE: the same query and key once more, as they are for tokens far away.
  void FinishFar(uint32_t t, const float* query, const float* key) {
    float* far_query = step_.far_query.data() + t * query_size_;
    float* far_key = step_.far_key.data() + t * key_size_;
    std::copy_n(query, query_size_, far_query);
    std::copy_n(key, key_size_, far_key);
    FinishHeads(model_, attention_, weights_.query_norm, attention_.heads, far_query,
                [&](float* x) { angles_->RotateFarQuery(t, attention_.heads, attention_.key_dim, 0, x); });
    FinishHeads(model_, attention_, weights_.key_norm, attention_.kv_heads, far_key,
                [&](float* x) { angles_->RotateFarKey(t, attention_.kv_heads, attention_.key_dim, 0, x); });
    ScaleQuery(t, far_query);
    const RowPlace& row = step_.rows[t];
    cache_.StoreFarKey(row.sequence, row.position, far_key, key_size_);
  }

  void ScaleQuery(uint32_t t, float* query) {
    const float temperature = AttentionTemperature(attention_, step_.rows[t].position);
    if (temperature != 1) Scale(temperature, query_size_, query);
  }

  const ModelSpec& model_;
  const AttentionSpec& attention_;
  const AttentionWeights& weights_;
  KvLayer& cache_;
  MixStep& step_;
  const RopeAngles* angles_;
  size_t query_size_;
  size_t key_size_;
  size_t value_size_;
};

}  // namespace

float AttentionTemperature(const AttentionSpec& attention, uint32_t position) {
  if (attention.temperature_scale == 0 || attention.temperature_floor == 0) return 1;
  const uint64_t steps = (uint64_t{position} + attention.temperature_offset) / attention.temperature_floor;
  return 1 + attention.temperature_scale * std::log(1 + static_cast<float>(steps));
}

uint32_t FirstVisible(const AttentionSpec& attention, uint32_t position) {
  switch (attention.window_kind) {
    case WindowKind::kNone:
      return 0;
    case WindowKind::kSliding:
      return position < attention.window ? 0 : position - attention.window + 1;
    case WindowKind::kChunked:
      return position / attention.window * attention.window;
  }
  return 0;
}

void RunAttention(const LayerSpec& layer, const AttentionShape& shape, const KvLayer& cache, MixStep& step) {
  const size_t query_size = size_t{shape.query_heads} * shape.key_dim;
  const size_t out_size = size_t{shape.query_heads} * shape.value_dim;
  step.attention_rows.clear();
  for (uint32_t t = 0; t < step.row_count(); ++t) {
    const RowPlace& row = step.rows[t];
    AttentionRow& to = step.attention_rows.emplace_back();
    to.query = step.query.data() + t * query_size;
    to.far_query = shape.far_distance > 0 ? step.far_query.data() + t * query_size : nullptr;
    to.out = step.attended.data() + t * out_size;
    to.kv = cache.View(row.sequence);
    to.first = FirstVisible(layer.attention, row.position);
    to.last = step.LastVisible(t);
    step.work.bytes_touched += (to.last - to.first + 1) * cache.layout().position_bytes();
  }
  Attention(step.work.pool, shape, step.attention_rows);
}

const float* Attend(const LayerSpec& layer, const AttentionWeights& weights, const float* input,
                    KvLayer& cache, MixStep& step) {
  const AttentionSpec& attention = layer.attention;
  const ModelSpec& model = step.model();
  step.work.activations.Set(input, step.row_count(), model.n_embd, model.n_embd);
  const AdapterRanks& ranks = layer.adapter;
  const size_t stride = ranks.mixer_inputs();
  const float* adapted = step.adapted;
  ApplyLinear(step.work, {{&weights.query, step.query.data(), adapted, stride},
                          {&weights.key, step.key.data(), adapted + ranks.query, stride},
                          {&weights.value, step.value.data(), adapted + ranks.query + ranks.key, stride}});

  RowFinisher finisher(layer, weights, cache, step);
  step.ForEachRow([&](uint32_t t) { finisher.Finish(t); });

  AttentionShape shape;
  shape.query_heads = attention.heads;
  shape.kv_heads = attention.kv_heads;
  shape.key_dim = attention.key_dim;
  shape.value_dim = attention.value_dim;
  shape.scale = attention.scale;
  shape.softcap = attention.softcap;
  shape.alibi_slopes = weights.alibi_slopes.empty() ? nullptr : weights.alibi_slopes.data();
  shape.sinks = weights.sinks.empty() ? nullptr : weights.sinks.data();
  shape.far_distance = attention.rope ? step.angles(layer)->window() : 0;
  RunAttention(layer, shape, cache, step);

  const size_t results = size_t{attention.heads} * attention.value_dim;
  return ApplyNorm(step.work, NormFormula(model), weights.output_norm, step.row_count(), results,
                   step.attended.data(), step.attended.data());
}

}  // namespace hearth
