#ifndef HEARTH_ENGINE_DEVICE_GPU_MIXER_H_
#define HEARTH_ENGINE_DEVICE_GPU_MIXER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/attention/kv_cache.h"
#include "engine/attention/mixer_shard.h"
#include "engine/attention/row_place.h"
#include "engine/device/gpu_latent.h"
#include "engine/device/gpu_scratch.h"
#include "engine/device/gpu_weights.h"
#include "engine/device/local_device.h"

namespace hearth {

// The rows of a step as a GPU's attention sees them: their places, in the GPU's memory, cut into batches
// whose partial results fit the scratch memory, and these into tiles of rows that follow one another.
struct GpuMixRows {
  struct Batch {
    uint32_t first = 0;
    uint32_t rows = 0;
    uint32_t first_tile = 0;
    uint32_t tiles = 0;
    uint32_t last_position = 0;  // of its rows
    uint32_t first_position = 0;
  };
  absl::Span<const RowPlace> rows;
  std::vector<Batch> batches;
  // Tiles of prompts that are computed apart, of all rows; the others are in batches.
  uint32_t first_prompt_tile = 0;
  uint32_t prompt_tiles = 0;
  const gpu::GpuPlace* places = nullptr;
  const gpu::RowTile* tiles = nullptr;  // `first` counts from the batch's first row
  const float* angles = nullptr;        // of the layer's rope, (rows, dims); null: none
};

// Head groups of one layer on a GPU, with their KV cache.
class GpuMixer : public UnitPiece {
 public:
  // OK where a GPU computes such a layer, else UNIMPLEMENTED.
  static absl::Status CanHold(const ModelSpec& model, const LayerSpec& layer, KvType kv);
  static absl::StatusOr<std::shared_ptr<GpuMixer>> Load(const LoadContext& context, uint32_t layer,
                                                        std::vector<uint32_t> groups,
                                                        absl::Span<const UnitWeights> weights,
                                                        GpuMemory& memory, GpuUploader& uploader);

  static void AddNeeds(const ModelSpec& model, const LayerSpec& layer, const DecoderOptions& options,
                       GpuNeeds& needs);
  void AddNeeds(GpuNeeds& needs) const { AddNeeds(model_, layer_, options_, needs); }
  // Rows of a tile, and rows of a batch, as this mixer takes them at most.
  uint32_t TileRows() const;
  uint32_t BatchRows() const;
  // Whether rows of prompts are computed apart, in tiles of gpu::kPromptTileRows.
  bool TakesPrompts(bool exact, const gpu::Gpu& stream) const;

  // INVALID_ARGUMENT for places that the cache does not have.
  absl::Status CheckRows(absl::Span<const RowPlace> rows) const;
  // Queues the groups' part of the mixer's result, added to scratch.sums, (rows, n_embd), or the first that
  // is there. scratch.x has the normed input.
  void Run(const GpuMixRows& rows, bool exact, bool first, GpuScratch& scratch, gpu::Gpu& stream) const;
  // Bytes of weights and cache that it reads for that.
  uint64_t BytesTouched(absl::Span<const RowPlace> rows) const;
  // What the work for a batch of a single row depends on, besides its input: the chunks of positions that it
  // sees.
  static uint64_t KeyOf(const AttentionSpec& attention, const GpuMixRows& rows);

  // As MixerShard's.
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range, gpu::Gpu& stream) const;
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes, gpu::Gpu& stream) const;

  const LayerSpec& layer() const { return layer_; }
  absl::Span<const float> rope_factors() const { return rope_factors_; }
  uint64_t weight_bytes() const override { return weight_bytes_; }
  uint64_t kv_bytes() const override { return keys_.bytes() + values_.bytes(); }
  uint64_t cache_id() const override { return cache_id_; }

 private:
  struct HeadNorm {
    bool present = false;
    GpuBuffer weight, bias;
  };
  GpuMixer(const LoadContext& context, LayerSpec layer, std::vector<uint32_t> groups);
  absl::Status LoadWeights(const AttentionWeights& weights, GpuUploader& uploader);
  absl::Status MakeCache(absl::Span<const HeadGroup> held, KvType type, GpuMemory& memory);
  uint32_t AttendedCols() const;  // of a row of results, filled up to whole units
  uint32_t position_bytes() const { return cache_.key_bytes + (latent_ ? 0 : cache_.value_bytes); }
  absl::StatusOr<HeadGroup> FindHeads(const KvRange& range) const;
  // Calls fn(bytes of the cache, how many) for each head's range in turn: keys, then values.
  template <class Fn>
  void ForEachRange(const KvRange& range, const HeadGroup& heads, Fn fn) const;
  void Project(const GpuMixRows& rows, bool exact, GpuScratch& scratch, gpu::Gpu& stream) const;
  void FinishHeads(const GpuMixRows& rows, GpuScratch& scratch, gpu::Gpu& stream) const;
  // Results to `out`, (rows), out_stride apart: (heads, value_dim).
  void Attend(const GpuMixRows& rows, float* out, uint32_t out_stride, GpuScratch& scratch,
              gpu::Gpu& stream) const;

  const ModelSpec model_;
  const LayerSpec layer_;
  const AttentionSpec attention_;  // as it is over the cache
  const DecoderOptions options_;
  std::vector<HeadGroup> held_;  // where each group's KV heads lie in the cache
  GpuLinear query_, key_, value_, output_;
  std::optional<GpuLatent> latent_;  // in place of query_, key_ and value_
  HeadNorm query_norm_, key_norm_;
  GpuBuffer sinks_, alibi_slopes_;
  std::vector<float> rope_factors_;
  gpu::GpuKvCache cache_;
  GpuBuffer keys_, values_;
  const uint64_t cache_id_;
  uint64_t weight_bytes_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_MIXER_H_
