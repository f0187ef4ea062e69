#include "engine/device/gpu_mixer.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/attention/mixer.h"
#include "engine/attention/mixer_weights.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"
#include "engine/device/gpu_products.h"

namespace hearth {
namespace {

constexpr uint64_t kPartialFloats = uint64_t{1} << 24;  // at most, of a batch

gpu::GpuKv KvOf(KvType type) {
  switch (type) {
    case KvType::kF32:
      return gpu::GpuKv::kF32;
    case KvType::kF16:
      return gpu::GpuKv::kF16;
    case KvType::kQ8_0:
      return gpu::GpuKv::kQ8_0;
  }
  return gpu::GpuKv::kF32;
}

uint32_t ChunksOf(const DecoderOptions& options) {
  return static_cast<uint32_t>((uint64_t{options.context_length} + gpu::kChunkPositions - 1) /
                               gpu::kChunkPositions);
}

// A layer's attention as it is over the cache: latents are keys and values of one head.
AttentionSpec OverCache(const LayerSpec& layer) {
  AttentionSpec attention = layer.attention;
  if (layer.mixer == MixerKind::kLatentAttention) {
    attention.kv_heads = 1;
    attention.key_dim = layer.cached_key_values();
    attention.value_dim = attention.latent_rank;
  }
  return attention;
}

uint32_t TileRowsOf(const AttentionSpec& attention) {
  const uint32_t group = attention.heads / attention.kv_heads;
  const uint32_t most = gpu::TileQueries(std::max(attention.key_dim, attention.value_dim));
  const uint32_t slices = (group + most - 1) / most;
  return most / ((group + slices - 1) / slices);
}

uint32_t BatchRowsOf(const AttentionSpec& attention, const DecoderOptions& options) {
  const uint64_t per_row = gpu::PartialFloats(1, attention.heads, ChunksOf(options), attention.value_dim);
  return static_cast<uint32_t>(std::clamp<uint64_t>(kPartialFloats / per_row, TileRowsOf(attention), 4096));
}

// The chunks of positions that a batch's rows see.
uint32_t FirstChunk(const AttentionSpec& attention, const GpuMixRows::Batch& batch) {
  return FirstVisible(attention, batch.first_position) / gpu::kChunkPositions;
}
uint32_t ChunkCount(const AttentionSpec& attention, const GpuMixRows::Batch& batch) {
  return batch.last_position / gpu::kChunkPositions - FirstChunk(attention, batch) + 1;
}

}  // namespace

uint64_t GpuMixer::KeyOf(const AttentionSpec& attention, const GpuMixRows& rows) {
  if (rows.batches.empty()) return 0;  // of a prompt: the same for every position
  const GpuMixRows::Batch& batch = rows.batches.front();
  return uint64_t{FirstChunk(attention, batch)} << 32 | ChunkCount(attention, batch);
}

absl::Status GpuMixer::CanHold(const ModelSpec& model, const LayerSpec& layer, KvType kv) {
  const AttentionSpec attention = OverCache(layer);
  const auto cannot = [](std::string_view what) {
    return absl::UnimplementedError(absl::StrCat("GPUs cannot compute ", std::string(what), " yet"));
  };
  if (layer.mixer == MixerKind::kShortConvolution) return cannot("convolutions");
  if (!model.causal) return cannot("attention to later tokens");
  if (layer.adapter.of_mixer()) return cannot("LoRA adapters");
  if (attention.output_norm) return cannot("a norm before the output projection");
  if (attention.qk_norm == QkNorm::kWhole) return cannot("a norm over all heads");
  if (attention.rope && model.ropes[*attention.rope].rectified_window > 0) return cannot("ReRoPE");
  if (attention.query_rank > gpu::kMaxResidualCols) return cannot("compressed queries of this size");
  for (const uint32_t dim : {attention.key_dim, attention.value_dim}) {
    if (dim % 4 != 0 || dim > gpu::kMaxHeadValues) return cannot("attention with heads of this size");
    if (kv == KvType::kQ8_0 && dim % 32 != 0) return cannot("a Q8_0 cache of heads of this size");
  }
  return absl::OkStatus();
}

GpuMixer::GpuMixer(const LoadContext& context, LayerSpec layer, std::vector<uint32_t> groups)
    : UnitPiece(std::move(groups)),
      model_(context.outline.spec),
      layer_(std::move(layer)),
      attention_(OverCache(layer_)),
      options_(context.options),
      cache_id_(NextCacheId()) {}

absl::StatusOr<std::shared_ptr<GpuMixer>> GpuMixer::Load(const LoadContext& context, uint32_t layer,
                                                         std::vector<uint32_t> groups,
                                                         absl::Span<const UnitWeights> weights,
                                                         GpuMemory& memory, GpuUploader& uploader) {
  const ModelOutline& outline = context.outline;
  HEARTH_RETURN_IF_ERROR(CanHold(outline.spec, outline.spec.layers[layer], context.options.kv_type));
  std::vector<HeadGroup> held;
  for (uint32_t group : groups) held.push_back(outline.head_groups[layer][group]);
  const TensorSet tensors = JoinUnits(weights);
  WeightLoader loader = WeightLoader::Borrowing(tensors, &context.pool);
  const MixerWeights loaded = LoadMixer(outline.spec, layer, held, loader);
  HEARTH_RETURN_IF_ERROR(loader.Finish());
  std::shared_ptr<GpuMixer> mixer(
      new GpuMixer(context, NarrowToGroups(outline.spec.layers[layer], held), std::move(groups)));
  if (const auto* latent = std::get_if<LatentAttentionWeights>(&loaded.mixer)) {
    HEARTH_RETURN_IF_ERROR(mixer->latent_.emplace().Load(*latent, uploader));
    mixer->weight_bytes_ += mixer->latent_->bytes();
  } else {
    HEARTH_RETURN_IF_ERROR(mixer->LoadWeights(std::get<AttentionWeights>(loaded.mixer), uploader));
  }
  HEARTH_ASSIGN_OR_RETURN(mixer->output_, uploader.Upload(loaded.output));
  mixer->weight_bytes_ += mixer->output_.bytes();
  mixer->rope_factors_ = loaded.rope_factors;
  HEARTH_RETURN_IF_ERROR(mixer->MakeCache(held, context.options.kv_type, memory));
  return mixer;
}

absl::Status GpuMixer::LoadWeights(const AttentionWeights& weights, GpuUploader& uploader) {
  HEARTH_ASSIGN_OR_RETURN(query_, uploader.Upload(weights.query));
  HEARTH_ASSIGN_OR_RETURN(key_, uploader.Upload(weights.key));
  HEARTH_ASSIGN_OR_RETURN(value_, uploader.Upload(weights.value));
  for (const auto& [from, to] :
       {std::pair{&weights.query_norm, &query_norm_}, {&weights.key_norm, &key_norm_}}) {
    to->present = from->present;
    HEARTH_ASSIGN_OR_RETURN(to->weight, uploader.Upload(from->weight));
    HEARTH_ASSIGN_OR_RETURN(to->bias, uploader.Upload(from->bias));
    weight_bytes_ += to->weight.bytes() + to->bias.bytes();
  }
  HEARTH_ASSIGN_OR_RETURN(sinks_, uploader.Upload(weights.sinks));
  HEARTH_ASSIGN_OR_RETURN(alibi_slopes_, uploader.Upload(weights.alibi_slopes));
  weight_bytes_ += query_.bytes() + key_.bytes() + value_.bytes() + sinks_.bytes() + alibi_slopes_.bytes();
  return absl::OkStatus();
}

absl::Status GpuMixer::MakeCache(absl::Span<const HeadGroup> held, KvType type, GpuMemory& memory) {
  cache_.type = KvOf(type);
  cache_.heads = attention_.kv_heads;
  cache_.context = options_.context_length;
  cache_.key_bytes = static_cast<uint32_t>(KvBytes(type, attention_.key_dim));
  // Latents are the first values of their keys.
  cache_.value_bytes =
      latent_ ? cache_.key_bytes : static_cast<uint32_t>(KvBytes(type, attention_.value_dim));
  const std::optional<uint64_t> vectors =
      CheckedMul<uint64_t>(uint64_t{options_.sequences} * options_.context_length, attention_.kv_heads);
  const auto bytes = [&](uint32_t each) {
    return vectors ? CheckedMul<uint64_t>(*vectors, each).value_or(UINT64_MAX) : UINT64_MAX;
  };
  HEARTH_ASSIGN_OR_RETURN(keys_, memory.Allocate(bytes(cache_.key_bytes)));
  cache_.keys = cache_.values = keys_.as<uint8_t>();
  if (!latent_) {
    HEARTH_ASSIGN_OR_RETURN(values_, memory.Allocate(bytes(cache_.value_bytes)));
    cache_.values = values_.as<uint8_t>();
  }
  uint32_t heads = 0;
  for (const HeadGroup& group : held) {
    const uint32_t cached = latent_ ? cache_.heads : group.kv_heads;
    held_.push_back({heads, cached});
    heads += cached;
  }
  return absl::OkStatus();
}

uint32_t GpuMixer::AttendedCols() const {
  return gpu::PaddedCols(gpu::GpuType::kF32, layer_.attention.heads * layer_.attention.value_dim);
}

uint32_t GpuMixer::TileRows() const { return TileRowsOf(attention_); }

uint32_t GpuMixer::BatchRows() const { return BatchRowsOf(attention_, options_); }

bool GpuMixer::TakesPrompts(bool exact, const gpu::Gpu& stream) const {
  return !exact && stream.HasPromptAttention(cache_.type, attention_.key_dim, attention_.value_dim);
}

void GpuMixer::AddNeeds(const ModelSpec& model, const LayerSpec& layer, const DecoderOptions& options,
                        GpuNeeds& needs) {
  const AttentionSpec attention = OverCache(layer);
  const auto at_least = [](auto& need, auto value) { need = std::max(need, value); };
  at_least(needs.query, attention.heads * attention.key_dim);
  at_least(needs.key, attention.kv_heads * attention.key_dim);
  if (layer.mixer == MixerKind::kLatentAttention) {
    GpuLatent::AddNeeds(layer.attention, needs);
  } else {
    at_least(needs.value, attention.kv_heads * attention.value_dim);
  }
  at_least(needs.results, layer.attention.heads * layer.attention.value_dim);
  at_least(needs.output_values, model.n_embd);
  if (const uint32_t chunks = ChunksOf(options); chunks > 1) {
    const uint32_t rows = std::min(BatchRowsOf(attention, options), needs.max_rows);
    at_least(needs.partial_floats, gpu::PartialFloats(rows, attention.heads, chunks, attention.value_dim));
  }
}

absl::Status GpuMixer::CheckRows(absl::Span<const RowPlace> rows) const {
  for (const RowPlace& row : rows) {
    if (row.sequence >= options_.sequences || row.position >= options_.context_length) {
      return absl::InvalidArgumentError(
          absl::StrCat("no position ", row.position, " of sequence ", row.sequence, " is cached here"));
    }
  }
  return absl::OkStatus();
}

void GpuMixer::Run(const GpuMixRows& rows, bool exact, bool first_piece, GpuScratch& scratch,
                   gpu::Gpu& stream) const {
  const uint32_t count = static_cast<uint32_t>(rows.rows.size());
  if (latent_) {
    latent_->Project(model_, layer_.attention, count, exact, scratch, stream);
  } else {
    Project(rows, exact, scratch, stream);
  }
  FinishHeads(rows, scratch, stream);
  if (AttendedCols() > layer_.attention.heads * layer_.attention.value_dim) {
    // What fills up a row is multiplied as well.
    stream.Clear(scratch.attended.values(), uint64_t{count} * AttendedCols() * sizeof(float));
  }
  if (latent_) {
    Attend(rows, scratch.projected.as<float>(), attention_.heads * attention_.value_dim, scratch, stream);
    latent_->Decompress(layer_.attention, count, AttendedCols(), scratch, stream);
  } else {
    Attend(rows, scratch.attended.values(), AttendedCols(), scratch, stream);
  }

  gpu::GpuRows attended = scratch.attended.RoundedBy(output_.matrix.type, exact);
  attended.cols = AttendedCols();
  if (attended.codes != nullptr) stream.Round({attended, count, gpu::ActivationCols(output_.matrix.type)});
  SumRows(output_.matrix, attended, count, scratch.sums.as<int64_t>(), model_.n_embd, first_piece, exact,
          stream);
}

uint64_t GpuMixer::BytesTouched(absl::Span<const RowPlace> rows) const {
  uint64_t bytes = query_.bytes() + key_.bytes() + value_.bytes() + output_.bytes();
  if (latent_) bytes += latent_->bytes();
  const uint64_t of_position = uint64_t{cache_.heads} * position_bytes();
  for (const RowPlace& row : rows) {
    bytes += (row.position - FirstVisible(layer_.attention, row.position) + 1) * of_position;
  }
  return bytes;
}

void GpuMixer::Project(const GpuMixRows& rows, bool exact, GpuScratch& scratch, gpu::Gpu& stream) const {
  const uint32_t count = static_cast<uint32_t>(rows.rows.size());
  const LinearOut products[] = {{query_, scratch.query.as<float>(), query_.matrix.rows},
                                {key_, scratch.key.as<float>(), key_.matrix.rows},
                                {value_, scratch.value.as<float>(), value_.matrix.rows}};
  MultiplyRows(products, scratch.x, count, exact, stream);
}

void GpuMixer::FinishHeads(const GpuMixRows& rows, GpuScratch& scratch, gpu::Gpu& stream) const {
  const AttentionSpec& attention = attention_;
  gpu::FinishHeadsArgs args;
  args.query = scratch.query.as<float>();
  args.key = scratch.key.as<float>();
  args.value = latent_ ? nullptr : scratch.value.as<float>();
  args.heads = attention.heads;
  args.kv_heads = attention.kv_heads;
  args.key_dim = attention.key_dim;
  args.value_dim = attention.value_dim;
  args.rows = static_cast<uint32_t>(rows.rows.size());
  args.places = rows.places;
  args.clamp = attention.clamp_qkv;
  const bool rms = model_.norm == NormKind::kRms || attention.qk_norm == QkNorm::kUnweighted;
  args.norm = rms ? gpu::FinishHeadsArgs::HeadNorm::kRms : gpu::FinishHeadsArgs::HeadNorm::kLayer;
  args.norm_after_rope = attention.qk_norm_after_rope;
  args.norm_epsilon = model_.norm_epsilon;
  args.norms_query = query_norm_.present;
  args.norms_key = key_norm_.present;
  args.query_norm = query_norm_.weight.as<const float>();
  args.query_norm_bias = query_norm_.bias.as<const float>();
  args.key_norm = key_norm_.weight.as<const float>();
  args.key_norm_bias = key_norm_.bias.as<const float>();
  args.norm_stride = attention.qk_norm == QkNorm::kPerHeadWeights ? attention.key_dim : 0;
  if (latent_) {
    args.norm = gpu::FinishHeadsArgs::HeadNorm::kRms;
    args.norms_key = true;
    args.key_norm = latent_->latent_norm();
    args.norm_dims = args.rope_first = attention.latent_rank;
  }
  if (attention.rope) {
    const RopeSpec& rope = model_.ropes[*attention.rope];
    args.angles = rows.angles;
    args.rope_dims = rope.dims;
    args.interleaved = rope.style == RopeStyle::kInterleaved;
  }
  args.temperature_scale = attention.temperature_scale;
  args.temperature_floor = attention.temperature_floor;
  args.temperature_offset = attention.temperature_offset;
  args.cache = cache_;
  stream.FinishHeads(args);
}

void GpuMixer::Attend(const GpuMixRows& rows, float* out, uint32_t out_stride, GpuScratch& scratch,
                      gpu::Gpu& stream) const {
  const AttentionSpec& attention = attention_;
  gpu::AttentionArgs args;
  args.heads = attention.heads;
  args.kv_heads = attention.kv_heads;
  args.key_dim = attention.key_dim;
  args.value_dim = attention.value_dim;
  args.scale = attention.scale;
  args.softcap = attention.softcap;
  args.alibi_slopes = alibi_slopes_.as<const float>();
  args.sinks = sinks_.as<const float>();
  args.window = attention.window;
  if (attention.window_kind == WindowKind::kSliding) args.window_kind = gpu::AttentionArgs::Window::kSliding;
  if (attention.window_kind == WindowKind::kChunked) args.window_kind = gpu::AttentionArgs::Window::kChunked;
  args.cache = cache_;
  args.partial = scratch.partial.as<float>();
  const size_t query_values = size_t{attention.heads} * attention.key_dim;
  args.out_stride = out_stride;
  for (const GpuMixRows::Batch& batch : rows.batches) {
    args.query = scratch.query.as<float>() + batch.first * query_values;
    args.out = out + size_t{batch.first} * out_stride;
    args.places = rows.places + batch.first;
    args.tiles = rows.tiles + batch.first_tile;
    args.tile_count = batch.tiles;
    args.rows = batch.rows;
    args.first_chunk = FirstChunk(attention, batch);
    args.chunks = ChunkCount(attention, batch);
    stream.Attention(args);
  }
  if (rows.prompt_tiles == 0) return;
  args.query = scratch.query.as<float>();
  args.out = out;
  args.places = rows.places;
  args.tiles = rows.tiles + rows.first_prompt_tile;
  args.tile_count = rows.prompt_tiles;
  args.rows = static_cast<uint32_t>(rows.rows.size());
  stream.PromptAttention(args);
}

absl::StatusOr<HeadGroup> GpuMixer::FindHeads(const KvRange& range) const {
  const auto found = std::find(units().begin(), units().end(), range.group);
  if (found == units().end() || range.sequence >= options_.sequences || range.begin > range.end ||
      range.end > options_.context_length) {
    return absl::InvalidArgumentError(absl::StrCat("no positions ", range.begin, " to ", range.end,
                                                   " of sequence ", range.sequence, " of head group ",
                                                   range.group, " are cached here"));
  }
  return held_[static_cast<size_t>(found - units().begin())];
}

template <class Fn>
void GpuMixer::ForEachRange(const KvRange& range, const HeadGroup& heads, Fn fn) const {
  const auto visit = [&](uint8_t* memory, uint32_t each) {
    for (uint32_t h = heads.first_kv_head; h < heads.first_kv_head + heads.kv_heads; ++h) {
      const size_t at = (size_t{range.sequence} * cache_.heads + h) * options_.context_length + range.begin;
      if (range.end > range.begin) fn(memory + at * each, size_t{range.end - range.begin} * each);
    }
  };
  visit(cache_.keys, cache_.key_bytes);
  if (!latent_) visit(cache_.values, cache_.value_bytes);
}

absl::StatusOr<std::vector<uint8_t>> GpuMixer::ReadKv(const KvRange& range, gpu::Gpu& stream) const {
  HEARTH_ASSIGN_OR_RETURN(const HeadGroup heads, FindHeads(range));
  std::vector<uint8_t> bytes(size_t{heads.kv_heads} * (range.end - range.begin) * position_bytes());
  size_t at = 0;
  ForEachRange(range, heads, [&](const uint8_t* from, size_t count) {
    stream.CopyOut(bytes.data() + at, from, count);
    at += count;
  });
  stream.Finish();
  if (!stream.error().empty()) return absl::UnavailableError(stream.error());
  return bytes;
}

absl::Status GpuMixer::WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes,
                               gpu::Gpu& stream) const {
  HEARTH_ASSIGN_OR_RETURN(const HeadGroup heads, FindHeads(range));
  const size_t expected = size_t{heads.kv_heads} * (range.end - range.begin) * position_bytes();
  if (bytes.size() != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("these cached positions take ", expected, " bytes, got ", bytes.size()));
  }
  size_t at = 0;
  ForEachRange(range, heads, [&](uint8_t* to, size_t count) {
    stream.CopyIn(to, bytes.data() + at, count);
    at += count;
  });
  stream.Finish();
  return stream.error().empty() ? absl::OkStatus() : absl::UnavailableError(stream.error());
}

}  // namespace hearth
