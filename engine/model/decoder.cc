#include "engine/model/decoder.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/vector_ops.h"
#include "engine/model/ffn_stage.h"
#include "engine/model/kv_cache.h"
#include "engine/model/layer.h"
#include "engine/model/step.h"
#include "engine/model/weights.h"

namespace hearth {
namespace {

uint64_t PhysicalMemoryBytes() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

class LayeredDecoder : public Decoder {
 public:
  LayeredDecoder(std::shared_ptr<const Model> model, DecoderOptions options, std::vector<KvLayer> caches,
                 uint64_t kv_bytes, ThreadPool& pool)
      : model_(std::move(model)),
        options_(options),
        spec_(model_->spec()),
        weights_(model_->weights()),
        caches_(std::move(caches)),
        kv_bytes_(kv_bytes),
        lengths_(options.sequences, 0),
        next_lengths_(options.sequences, 0),
        step_(spec_, weights_, options.max_rows, pool),
        ffn_(spec_, model_->ffn_specs(), options.max_rows) {}

  void SetDevices(std::vector<FfnDevice*> devices) override { ffn_.SetDevices(std::move(devices)); }
  absl::Status Step(absl::Span<const BatchRow> rows, absl::Span<float> logits) override;
  absl::Status Truncate(uint32_t sequence, uint32_t length) override;
  uint32_t SequenceLength(uint32_t sequence) const override {
    HEARTH_CHECK(sequence < options_.sequences);
    return lengths_[sequence];
  }
  const Model& model() const override { return *model_; }
  const DecoderOptions& options() const override { return options_; }
  uint64_t kv_bytes() const override { return kv_bytes_; }
  uint64_t bytes_touched() const override { return step_.bytes_touched; }

 private:
  absl::Status CheckRows(absl::Span<const BatchRow> rows);
  void Embed();
  void ComputeLogits(absl::Span<float> logits);

  std::shared_ptr<const Model> model_;
  DecoderOptions options_;
  const ModelSpec& spec_;
  const ModelWeights& weights_;
  std::vector<KvLayer> caches_;  // by layer
  uint64_t kv_bytes_;
  std::vector<uint32_t> lengths_;       // by sequence
  std::vector<uint32_t> next_lengths_;  // what they become when the step succeeds
  hearth::Step step_;
  FfnStage ffn_;
};

absl::Status LayeredDecoder::CheckRows(absl::Span<const BatchRow> rows) {
  if (rows.empty() || rows.size() > options_.max_rows) {
    return absl::InvalidArgumentError(
        absl::StrCat("a step has between 1 and ", options_.max_rows, " rows, not ", rows.size()));
  }
  next_lengths_ = lengths_;
  for (const BatchRow& row : rows) {
    if (row.sequence >= options_.sequences) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence ", row.sequence, " of a decoder for ", options_.sequences, " sequences"));
    }
    if (row.position != next_lengths_[row.sequence]) {
      return absl::InvalidArgumentError(absl::StrCat("position ", row.position, " of sequence ", row.sequence,
                                                     " does not follow the ", next_lengths_[row.sequence],
                                                     " positions before it"));
    }
    if (row.position >= options_.context_length) {
      return absl::InvalidArgumentError(absl::StrCat("sequence ", row.sequence, " is full: its context has ",
                                                     options_.context_length, " positions"));
    }
    if (row.token < 0 || static_cast<uint32_t>(row.token) >= spec_.n_vocab) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", row.token, " is outside the vocabulary of ", spec_.n_vocab));
    }
    ++next_lengths_[row.sequence];
  }
  return absl::OkStatus();
}

void LayeredDecoder::Embed() {
  const size_t n = spec_.n_embd;
  step_.ForEachRow([&](uint32_t t) {
    const BatchRow& row = step_.rows[t];
    float* x = step_.x.data() + t * n;
    weights_.embedding.Read(static_cast<uint64_t>(row.token), x);
    if (spec_.embedding_scale != 1) Scale(spec_.embedding_scale, n, x);
    if (spec_.learned_positions > 0) {
      float* position = step_.branch.data() + t * n;
      weights_.positions.Read(uint64_t{row.position} + spec_.position_offset, position);
      Add(position, n, x);
    }
  });
  ApplyNorm(step_, spec_, weights_.embedding_norm, step_.row_count(), n, step_.x.data(), step_.x.data());
}

void LayeredDecoder::ComputeLogits(absl::Span<float> logits) {
  const size_t n = spec_.n_embd;
  size_t wanted = 0;
  for (uint32_t t = 0; t < step_.row_count(); ++t) {
    if (!step_.rows[t].want_logits) continue;
    std::copy_n(step_.x.data() + t * n, n, step_.normed.data() + wanted * n);
    ++wanted;
  }
  if (wanted == 0) return;
  HEARTH_CHECK(logits.size() >= wanted * spec_.n_vocab);
  ApplyNorm(step_, spec_, weights_.output_norm, wanted, n, step_.normed.data(), step_.normed.data());
  step_.activations.Set(step_.normed.data(), wanted, n, n);
  ApplyLinear(step_, {{&weights_.output, logits.data()}});
  const absl::Span<float> values = logits.first(wanted * spec_.n_vocab);
  if (spec_.logit_scale != 1) Scale(spec_.logit_scale, values.size(), values.data());
  if (spec_.logit_softcap > 0) {
    for (float& value : values) value = spec_.logit_softcap * std::tanh(value / spec_.logit_softcap);
  }
}

absl::Status LayeredDecoder::Step(absl::Span<const BatchRow> rows, absl::Span<float> logits) {
  HEARTH_RETURN_IF_ERROR(CheckRows(rows));
  step_.Begin(rows);
  Embed();
  for (uint32_t i = 0; i < spec_.n_layers; ++i) {
    HEARTH_RETURN_IF_ERROR(RunLayer(spec_, i, weights_.layers[i], caches_[i], ffn_, step_));
  }
  ComputeLogits(logits);
  lengths_.swap(next_lengths_);
  return absl::OkStatus();
}

absl::Status LayeredDecoder::Truncate(uint32_t sequence, uint32_t length) {
  if (sequence >= options_.sequences) {
    return absl::InvalidArgumentError(
        absl::StrCat("sequence ", sequence, " of a decoder for ", options_.sequences, " sequences"));
  }
  if (length > 0 && length < lengths_[sequence] && spec_.has_recurrent_state()) {
    return absl::InvalidArgumentError(
        "this model keeps a state that cannot go back to an earlier position: forget the whole sequence "
        "instead");
  }
  lengths_[sequence] = std::min(lengths_[sequence], length);
  return absl::OkStatus();
}

absl::Status CheckOptions(const ModelSpec& spec, const DecoderOptions& options) {
  if (options.sequences == 0 || options.context_length == 0 || options.max_rows == 0) {
    return absl::InvalidArgumentError("a decoder needs at least one sequence, one position and one row");
  }
  if (spec.learned_positions > 0 && options.context_length > spec.learned_positions - spec.position_offset) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model knows ", spec.learned_positions - spec.position_offset,
                     " positions, a context of ", options.context_length, " is too long for it"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(std::shared_ptr<const Model> model,
                                                         DecoderOptions options, ThreadPool& pool) {
  const ModelSpec& spec = model->spec();
  HEARTH_RETURN_IF_ERROR(CheckOptions(spec, options));
  HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, KvCacheBytes(spec, options));
  if (bytes > PhysicalMemoryBytes()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the KV cache needs ", bytes >> 20, " MiB for ", options.sequences, " sequences of ",
                     options.context_length, " positions, this machine has ", PhysicalMemoryBytes() >> 20,
                     " MiB of memory; use a shorter context, fewer sequences or a smaller cache type"));
  }
  std::vector<KvLayer> caches;
  for (const LayerSpec& layer : spec.layers) {
    HEARTH_ASSIGN_OR_RETURN(const KvLayerLayout layout, MakeKvLayerLayout(spec, layer, options.kv_type));
    HEARTH_ASSIGN_OR_RETURN(KvLayer cache,
                            KvLayer::Create(layout, options.sequences, options.context_length));
    caches.push_back(std::move(cache));
  }
  return std::make_unique<LayeredDecoder>(std::move(model), options, std::move(caches), bytes, pool);
}

}  // namespace hearth
