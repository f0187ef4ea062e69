#include "engine/attention/mixer_shard.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/attention/mixer.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {

uint64_t NextCacheId() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

MixerShard::MixerShard(const ModelSpec& model, LayerSpec layer, std::vector<uint32_t> groups,
                       MixerWeights weights, KvLayer cache)
    : model_(model),
      layer_(std::move(layer)),
      groups_(std::move(groups)),
      weights_(std::move(weights)),
      cache_(std::move(cache)),
      cache_id_(NextCacheId()) {}

absl::StatusOr<std::unique_ptr<MixerShard>> MixerShard::Load(const ModelSpec& model, uint32_t layer,
                                                             absl::Span<const HeadGroup> all_groups,
                                                             std::vector<uint32_t> groups,
                                                             absl::Span<const UnitWeights> weights,
                                                             const DecoderOptions& options,
                                                             Arithmetic arithmetic, ThreadPool& pool) {
  HEARTH_CHECK(!groups.empty() && groups.size() == weights.size());
  std::vector<HeadGroup> held;
  for (uint32_t group : groups) held.push_back(all_groups[group]);
  TensorSet tensors = JoinUnits(weights);
  WeightLoader loader(tensors, arithmetic, &pool);
  MixerWeights loaded = LoadMixer(model, layer, held, loader);
  HEARTH_RETURN_IF_ERROR(loader.Finish());
  LayerSpec narrow = NarrowToGroups(model.layers[layer], held);
  HEARTH_ASSIGN_OR_RETURN(const KvLayerLayout layout, MakeKvLayerLayout(model, narrow, options.kv_type));
  HEARTH_ASSIGN_OR_RETURN(KvLayer cache, KvLayer::Create(layout, options.sequences, options.context_length));

  std::unique_ptr<MixerShard> shard(
      new MixerShard(model, std::move(narrow), std::move(groups), std::move(loaded), std::move(cache)));
  if (loader.borrows()) shard->borrowed_ = std::move(tensors);
  const uint64_t cols = shard->weights_.output.cols();
  uint32_t heads = 0;
  for (const HeadGroup& group : held) {
    // What is not split by heads is one group of everything that the cache has.
    const uint32_t cached = held.size() == 1 ? layout.heads : group.kv_heads;
    shard->held_.push_back({heads, cached});
    heads += cached;
    shard->group_ends_.push_back(static_cast<uint32_t>(cols * heads / layout.heads));
  }
  shard->context_length_ = options.context_length;
  shard->sequences_ = options.sequences;
  shard->weight_bytes_ = loader.bytes();
  shard->kv_bytes_ =
      options.sequences * (options.context_length * layout.position_bytes() + layout.state_bytes());
  return shard;
}

absl::Status MixerShard::CheckRows(absl::Span<const RowPlace> rows) const {
  for (const RowPlace& row : rows) {
    if (row.sequence >= sequences_ || row.position >= context_length_) {
      return absl::InvalidArgumentError(
          absl::StrCat("no position ", row.position, " of sequence ", row.sequence, " is cached here"));
    }
  }
  if (!cache_.Follows(rows)) {
    return absl::InvalidArgumentError("the rows do not follow the recurrent state that is held here");
  }
  return absl::OkStatus();
}

absl::Status MixerShard::Run(const float* input, MixStep& step, absl::Span<int64_t> sums) {
  HEARTH_RETURN_IF_ERROR(CheckRows(step.rows));
  if (layer_.adapter.mixer_inputs() > 0 && step.adapted == nullptr) {
    return absl::InvalidArgumentError("the values for the layer's LoRA adapter are missing");
  }
  const float* results;
  if (const auto* attention = std::get_if<AttentionWeights>(&weights_.mixer)) {
    results = Attend(layer_, *attention, input, cache_, step);
  } else if (const auto* latent = std::get_if<LatentAttentionWeights>(&weights_.mixer)) {
    results = AttendLatent(layer_, *latent, input, cache_, step);
  } else {
    results = ConvolveShort(std::get<ShortConvolutionWeights>(weights_.mixer), input, cache_, step);
  }
  const size_t cols = weights_.output.cols();
  step.work.activations.Set(results, step.row_count(), cols, cols);
  const size_t stride = model_.n_embd + layer_.adapter.output;
  const auto multiply = [&](const Matrix& matrix, int64_t* out) {
    MatMulFixedPoint(step.work.pool, step.work.activations, matrix, group_ends_, out, stride);
    step.work.bytes_touched += matrix.bytes();
  };
  multiply(weights_.output, sums.data());
  if (layer_.adapter.output > 0) multiply(weights_.output_adapter, sums.data() + model_.n_embd);
  return absl::OkStatus();
}

absl::StatusOr<HeadGroup> MixerShard::FindHeads(const KvRange& range) const {
  const auto found = std::find(groups_.begin(), groups_.end(), range.group);
  if (found == groups_.end() || range.sequence >= sequences_ || range.begin > range.end ||
      range.end > context_length_) {
    return absl::InvalidArgumentError(absl::StrCat("no positions ", range.begin, " to ", range.end,
                                                   " of sequence ", range.sequence, " of head group ",
                                                   range.group, " are cached here"));
  }
  if (cache_.layout().state_values > 0) {
    return absl::UnimplementedError("recurrent state cannot be moved: compute the sequence again");
  }
  return held_[static_cast<size_t>(found - groups_.begin())];
}

absl::StatusOr<std::vector<uint8_t>> MixerShard::ReadKv(const KvRange& range) const {
  HEARTH_ASSIGN_OR_RETURN(const HeadGroup heads, FindHeads(range));
  return cache_.Read(range.sequence, heads.first_kv_head, heads.kv_heads, range.begin, range.end);
}

absl::Status MixerShard::WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(const HeadGroup heads, FindHeads(range));
  return cache_.Write(range.sequence, heads.first_kv_head, heads.kv_heads, range.begin, range.end, bytes);
}

}  // namespace hearth
