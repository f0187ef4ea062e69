#include "engine/attention/mixer_weights.h"

#include <cmath>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"

namespace hearth {
namespace {

// Loads the tensors of one layer's mixer, narrowed to some head groups, under their names in the file.
class MixerLoader {
 public:
  MixerLoader(const ModelSpec& model, uint32_t index, absl::Span<const HeadGroup> groups,
              WeightLoader& loader)
      : model_(model),
        whole_(model.layers[index]),
        layer_(NarrowToGroups(whole_, groups)),
        index_(index),
        groups_(groups),
        loader_(loader) {}

  MixerWeights Load() {
    MixerWeights weights;
    uint64_t results = uint64_t{layer_.attention.heads} * layer_.attention.value_dim;
    switch (layer_.mixer) {
      case MixerKind::kAttention:
        weights.mixer = LoadAttention();
        break;
      case MixerKind::kLatentAttention:
        weights.mixer = LoadLatentAttention();
        break;
      case MixerKind::kShortConvolution:
        weights.mixer = LoadShortConvolution();
        results = model_.n_embd;
        break;
    }
    std::string output = MixerOutputTensor(layer_, index_);
    output.resize(output.size() - std::string_view(".weight").size());
    weights.output = loader_.LoadMatrix(output, model_.n_embd, results);
    if (const uint64_t rank = layer_.adapter.output; rank > 0) {
      weights.output_adapter = loader_.LoadAdapter(output + ".weight.lora_a", 0, rank, rank, results);
    }
    weights.rope_factors = LoadRopeFactors();
    return weights;
  }

 private:
  std::string Name(std::string_view name) const { return absl::StrCat("blk.", index_, ".", AbslView(name)); }

  AttentionWeights LoadAttention() {
    const AttentionSpec& attention = layer_.attention;
    const uint64_t queries = uint64_t{attention.heads} * attention.key_dim;
    const uint64_t keys = uint64_t{attention.kv_heads} * attention.key_dim;
    const uint64_t values = uint64_t{attention.kv_heads} * attention.value_dim;
    const uint64_t results = uint64_t{attention.heads} * attention.value_dim;
    AttentionWeights weights;
    if (loader_.Has(Name("attn_qkv.weight"))) {
      const uint64_t total = queries + keys + values;
      weights.query = loader_.LoadLinearPart(Name("attn_qkv"), 0, queries, total, model_.n_embd);
      weights.key = loader_.LoadLinearPart(Name("attn_qkv"), queries, keys, total, model_.n_embd);
      weights.value = loader_.LoadLinearPart(Name("attn_qkv"), queries + keys, values, total, model_.n_embd);
    } else {
      weights.query = loader_.LoadLinear(Name("attn_q"), queries, model_.n_embd);
      weights.key = loader_.LoadLinear(Name("attn_k"), keys, model_.n_embd);
      weights.value = loader_.LoadLinear(Name("attn_v"), values, model_.n_embd);
    }
    LoadAdapters(queries, keys, values, weights);
    weights.query_norm = LoadQkNorm("attn_q_norm", attention.heads);
    weights.key_norm = LoadQkNorm("attn_k_norm", attention.kv_heads);
    if (attention.output_norm) weights.output_norm = loader_.LoadNorm(Name("attn_sub_norm"), {results});
    if (attention.sinks) weights.sinks = loader_.LoadVector(Name("attn_sinks.weight"), {attention.heads});
    if (attention.alibi_max_bias > 0) weights.alibi_slopes = GroupSlopes();
    return weights;
  }

  void LoadAdapters(uint64_t queries, uint64_t keys, uint64_t values, AttentionWeights& weights) {
    const AdapterRanks& ranks = layer_.adapter;
    const bool fused = loader_.Has(Name("attn_qkv.weight"));
    const uint64_t total = queries + keys + values;
    const auto load = [&](std::string_view name, uint64_t first, uint64_t rows, uint64_t rank,
                          Linear& linear) {
      if (rank == 0) return;
      const std::string tensor = absl::StrCat(Name(fused ? "attn_qkv" : name), ".weight.lora_b");
      linear.adapter = loader_.LoadAdapter(tensor, fused ? first : 0, rows, fused ? total : rows, rank);
    };
    load("attn_q", 0, queries, ranks.query, weights.query);
    load("attn_k", queries, keys, ranks.key, weights.key);
    load("attn_v", queries + keys, values, ranks.value, weights.value);
  }

  // The slopes of the groups' query heads: they follow from the number of all heads.
  std::vector<float> GroupSlopes() const {
    const AttentionSpec& all = whole_.attention;
    const std::vector<float> slopes = AlibiSlopes(all.heads, all.alibi_max_bias);
    if (layer_.attention.heads == all.heads) return slopes;
    const uint32_t per_kv_head = all.heads / all.kv_heads;
    std::vector<float> of_groups;
    for (const HeadGroup& group : groups_) {
      const auto begin = slopes.begin() + group.first_kv_head * per_kv_head;
      of_groups.insert(of_groups.end(), begin, begin + group.kv_heads * per_kv_head);
    }
    return of_groups;
  }

  Norm LoadQkNorm(std::string_view name, uint64_t heads) {
    const uint64_t dim = layer_.attention.key_dim;
    switch (layer_.attention.qk_norm) {
      case QkNorm::kNone:
        return {};
      case QkNorm::kUnweighted:
        return {.present = true, .weight = {}, .bias = {}};
      case QkNorm::kPerHead:
        return loader_.LoadNorm(Name(name), {dim});
      case QkNorm::kPerHeadWeights:
        return loader_.LoadNorm(Name(name), {dim, heads});
      case QkNorm::kWhole:
        return loader_.LoadNorm(Name(name), {dim * heads});
    }
    return {};
  }

  LatentAttentionWeights LoadLatentAttention() {
    const AttentionSpec& attention = layer_.attention;
    const uint64_t heads = attention.heads;
    const uint64_t latent = attention.latent_rank;
    const uint64_t plain = attention.key_dim - attention.rotated_dim;
    LatentAttentionWeights weights;
    if (attention.query_rank > 0) {
      weights.query_down = loader_.LoadLinear(Name("attn_q_a"), attention.query_rank, model_.n_embd);
      weights.query_down_norm = loader_.LoadNorm(Name("attn_q_a_norm"), {attention.query_rank});
      weights.query = loader_.LoadLinear(Name("attn_q_b"), heads * attention.key_dim, attention.query_rank);
    } else {
      weights.query = loader_.LoadLinear(Name("attn_q"), heads * attention.key_dim, model_.n_embd);
    }
    weights.kv_down =
        loader_.LoadLinear(Name("attn_kv_a_mqa"), latent + attention.rotated_dim, model_.n_embd);
    weights.kv_down_norm = loader_.LoadNorm(Name("attn_kv_a_norm"), {latent});
    if (attention.split_kv_b) {
      weights.key_up = loader_.BorrowMatrix(Name("attn_k_b.weight"), {plain, latent, heads});
      weights.value_up = loader_.BorrowMatrix(Name("attn_v_b.weight"), {latent, attention.value_dim, heads});
    } else {
      weights.key_up =
          loader_.BorrowMatrix(Name("attn_kv_b.weight"), {latent, heads * (plain + attention.value_dim)});
      weights.value_up = weights.key_up;
    }
    return weights;
  }

  ShortConvolutionWeights LoadShortConvolution() {
    ShortConvolutionWeights weights;
    weights.input = loader_.LoadLinear(Name("shortconv.in_proj"), uint64_t{3} * model_.n_embd, model_.n_embd);
    weights.taps =
        loader_.LoadVector(Name("shortconv.conv.weight"), {model_.convolution_length, model_.n_embd});
    return weights;
  }

  std::vector<float> LoadRopeFactors() {
    if (!layer_.attention.rope || layer_.mixer == MixerKind::kShortConvolution) return {};
    const RopeSpec& rope = model_.ropes[*layer_.attention.rope];
    if (rope.factors == RopeFactors::kNone) return {};
    return loader_.LoadVector(std::string(RopeFactorsTensor(rope.factors)), {rope.dims / 2});
  }

  const ModelSpec& model_;
  const LayerSpec& whole_;
  const LayerSpec layer_;
  const uint32_t index_;
  const absl::Span<const HeadGroup> groups_;
  WeightLoader& loader_;
};

}  // namespace

std::vector<float> AlibiSlopes(uint32_t heads, float max_bias) {
  uint32_t power_of_two = 1;
  while (power_of_two <= heads / 2) power_of_two *= 2;
  const double step = std::exp2(-static_cast<double>(max_bias) / power_of_two);
  const double half_step = std::exp2(-static_cast<double>(max_bias) / 2 / power_of_two);
  std::vector<float> slopes(heads);
  for (uint32_t h = 0; h < heads; ++h) {
    slopes[h] = static_cast<float>(h < power_of_two ? std::pow(step, h + 1)
                                                    : std::pow(half_step, 2 * (h - power_of_two) + 1));
  }
  return slopes;
}

MixerWeights LoadMixer(const ModelSpec& model, uint32_t layer, absl::Span<const HeadGroup> groups,
                       WeightLoader& loader) {
  return MixerLoader(model, layer, groups, loader).Load();
}

}  // namespace hearth
