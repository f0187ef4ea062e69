#include "engine/attention/head_groups.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

// Kernels multiply the output projection in strips of so many columns; a group that ends inside of a strip
// costs speed.
constexpr uint32_t kStripCols = 256;
// Quantised weights meet activations that are rounded in blocks of at least so many columns, which groups
// must not share.
constexpr uint32_t kActivationBlock = 32;

bool SplitsByHeads(const LayerSpec& layer) {
  return layer.mixer == MixerKind::kAttention && layer.attention.qk_norm != QkNorm::kWhole &&
         !layer.attention.output_norm;
}

// The smallest number of KV heads that divides all of them and has a multiple of `multiple` columns; 0: none.
uint32_t HeadsFor(uint32_t kv_heads, uint64_t cols_per_kv_head, uint32_t multiple) {
  for (uint32_t heads = 1; heads < kv_heads; ++heads) {
    if (kv_heads % heads == 0 && heads * cols_per_kv_head % multiple == 0) return heads;
  }
  return 0;
}

// Lists the slices of one group.
class PartLister {
 public:
  PartLister(const ModelSpec& model, uint32_t index, const HeadGroup& group, const TensorSet& tensors)
      : layer_(model.layers[index]), index_(index), group_(group), tensors_(tensors) {}

  UnitParts Attention() {
    const AttentionSpec& a = layer_.attention;
    const uint64_t per_kv = a.heads / a.kv_heads;
    const IndexRange queries = Heads(group_.first_kv_head * per_kv, group_.kv_heads * per_kv, a.key_dim);
    const IndexRange keys = Heads(group_.first_kv_head, group_.kv_heads, a.key_dim);
    const IndexRange values = Heads(group_.first_kv_head, group_.kv_heads, a.value_dim);
    const uint64_t query_rows = uint64_t{a.heads} * a.key_dim;
    const uint64_t key_rows = uint64_t{a.kv_heads} * a.key_dim;
    Projection("attn_qkv", {queries, Shift(keys, query_rows), Shift(values, query_rows + key_rows)});
    Projection("attn_q", {queries});
    Projection("attn_k", {keys});
    Projection("attn_v", {values});
    const Axis norm_axis = a.qk_norm == QkNorm::kPerHeadWeights ? Axis::kRows : Axis::kNone;
    const IndexRange query_heads = Heads(group_.first_kv_head * per_kv, group_.kv_heads * per_kv, 1);
    const IndexRange kv_heads = Heads(group_.first_kv_head, group_.kv_heads, 1);
    for (const char* suffix : {".weight", ".bias"}) {
      Take(absl::StrCat("attn_q_norm", suffix), norm_axis, {query_heads});
      Take(absl::StrCat("attn_k_norm", suffix), norm_axis, {kv_heads});
      Take(absl::StrCat("attn_sub_norm", suffix), Axis::kNone, {});
    }
    Take("attn_sinks.weight", Axis::kCols, {query_heads});
    const IndexRange results = Heads(group_.first_kv_head * per_kv, group_.kv_heads * per_kv, a.value_dim);
    Take("attn_output.weight", Axis::kCols, {results});
    Take("attn_output.weight.lora_a", Axis::kCols, {results});
    return std::move(parts_);
  }

  UnitParts Whole(std::initializer_list<std::string_view> names) {
    for (std::string_view name : names) {
      for (const char* suffix : {".weight", ".bias", ".scale"}) {
        Take(absl::StrCat(AbslView(name), suffix), Axis::kNone, {});
      }
    }
    TakeGlobal(MixerOutputTensor(layer_, index_));
    return std::move(parts_);
  }

  // The tensor in full, whatever the layer.
  void TakeGlobal(const std::string& name) {
    if (const GgufTensor* tensor = tensors_.Find(name)) parts_.push_back({*tensor, Axis::kNone, {}});
  }

 private:
  static IndexRange Heads(uint64_t first, uint64_t count, uint64_t dim) {
    return {first * dim, (first + count) * dim};
  }
  static IndexRange Shift(IndexRange run, uint64_t by) { return {run.begin + by, run.end + by}; }

  void Projection(std::string_view name, std::vector<IndexRange> runs) {
    Take(absl::StrCat(AbslView(name), ".weight"), Axis::kRows, runs);
    Take(absl::StrCat(AbslView(name), ".weight.lora_b"), Axis::kRows, runs);
    Take(absl::StrCat(AbslView(name), ".bias"), Axis::kCols, runs);
    Take(absl::StrCat(AbslView(name), ".scale"), Axis::kNone, {});
  }

  void Take(std::string_view name, Axis axis, std::vector<IndexRange> runs) {
    const GgufTensor* tensor = tensors_.Find(absl::StrCat("blk.", index_, ".", AbslView(name)));
    if (tensor != nullptr) parts_.push_back({*tensor, axis, std::move(runs)});
  }

  const LayerSpec& layer_;
  const uint32_t index_;
  const HeadGroup group_;
  const TensorSet& tensors_;
  UnitParts parts_;
};

void TakeRopeFactors(const ModelSpec& model, const LayerSpec& layer, PartLister& lister) {
  if (!layer.attention.rope || layer.mixer == MixerKind::kShortConvolution) return;
  const std::string_view tensor = RopeFactorsTensor(model.ropes[*layer.attention.rope].factors);
  if (!tensor.empty()) lister.TakeGlobal(std::string(tensor));
}

}  // namespace

std::vector<HeadGroup> MakeHeadGroups(const LayerSpec& layer, TensorType output_type) {
  if (layer.mixer == MixerKind::kShortConvolution) return {{0, 1}};
  const AttentionSpec& attention = layer.attention;
  const uint32_t all = std::max(1u, attention.kv_heads);
  if (!SplitsByHeads(layer)) return {{0, all}};
  const uint64_t cols = uint64_t{attention.heads} / all * attention.value_dim;
  const uint32_t block = GetTypeInfo(output_type).block_values;
  uint32_t heads = HeadsFor(all, cols, std::max(kStripCols, block));
  if (heads == 0) heads = HeadsFor(all, cols, block == 1 ? 1 : std::max(kActivationBlock, block));
  if (heads == 0) heads = all;
  std::vector<HeadGroup> groups;
  for (uint32_t first = 0; first < all; first += heads) groups.push_back({first, heads});
  return groups;
}

std::string MixerOutputTensor(const LayerSpec& layer, uint32_t index) {
  const bool convolution = layer.mixer == MixerKind::kShortConvolution;
  return absl::StrCat("blk.", index, convolution ? ".shortconv.out_proj.weight" : ".attn_output.weight");
}

absl::StatusOr<UnitParts> HeadGroupParts(const ModelSpec& model, uint32_t index, const HeadGroup& group,
                                         const TensorSet& tensors) {
  const LayerSpec& layer = model.layers[index];
  PartLister lister(model, index, group, tensors);
  TakeRopeFactors(model, layer, lister);
  UnitParts parts;
  switch (layer.mixer) {
    case MixerKind::kAttention:
      parts = lister.Attention();
      break;
    case MixerKind::kLatentAttention:
      parts = lister.Whole({"attn_q_a", "attn_q_a_norm", "attn_q_b", "attn_q", "attn_kv_a_mqa",
                            "attn_kv_a_norm", "attn_k_b", "attn_v_b", "attn_kv_b"});
      break;
    case MixerKind::kShortConvolution:
      parts = lister.Whole({"shortconv.in_proj", "shortconv.conv"});
      break;
  }
  const std::string output = MixerOutputTensor(layer, index);
  const bool complete = std::any_of(parts.begin(), parts.end(),
                                    [&](const TensorPart& part) { return part.tensor.name == output; });
  if (!complete) return absl::InvalidArgumentError(absl::StrCat("the file has no tensor ", output));
  return parts;
}

LayerSpec NarrowToGroups(const LayerSpec& layer, absl::Span<const HeadGroup> groups) {
  LayerSpec narrow = layer;
  if (!SplitsByHeads(layer)) return narrow;
  uint32_t kv_heads = 0;
  for (const HeadGroup& group : groups) kv_heads += group.kv_heads;
  narrow.attention.heads = layer.attention.heads / layer.attention.kv_heads * kv_heads;
  narrow.attention.kv_heads = kv_heads;
  return narrow;
}

}  // namespace hearth
