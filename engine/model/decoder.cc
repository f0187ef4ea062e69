#include "engine/model/decoder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/attention/kv_cache.h"
#include "engine/base/check.h"
#include "engine/base/process_limits.h"
#include "engine/base/status_macros.h"
#include "engine/device/device_set.h"
#include "engine/kernel/vector_ops.h"
#include "engine/model/stage.h"
#include "engine/outline/leader_weights.h"
#include "engine/weights/workspace.h"

namespace hearth {
namespace {

class LayeredDecoder : public Decoder {
 public:
  LayeredDecoder(std::shared_ptr<const Model> model, DecoderOptions options, uint64_t kv_bytes,
                 ThreadPool& pool)
      : model_(std::move(model)),
        options_(options),
        spec_(model_->spec()),
        weights_(model_->weights()),
        kv_bytes_(kv_bytes),
        lengths_(options.sequences, 0),
        next_lengths_(options.sequences, 0),
        work_(pool),
        stage_(model_->outline(), weights_, options.max_rows, pool),
        stages_({{{0, spec_.n_layers}, nullptr}}) {
    places_.reserve(options.max_rows);
    x_.resize(size_t{options.max_rows} * spec_.n_embd);
    normed_.resize(x_.size());
  }

  void SetDevices(std::vector<Device*> devices) override { devices_ = DeviceSet(std::move(devices)); }
  void SetStages(std::vector<StagePart> stages) override;
  absl::Status Step(absl::Span<const BatchRow> rows, absl::Span<float> logits) override;
  absl::Span<const float> states() const override { return states_; }
  absl::Status Truncate(uint32_t sequence, uint32_t length) override;
  uint32_t SequenceLength(uint32_t sequence) const override {
    HEARTH_CHECK(sequence < options_.sequences);
    return lengths_[sequence];
  }
  const Model& model() const override { return *model_; }
  const DecoderOptions& options() const override { return options_; }
  uint64_t kv_bytes() const override { return kv_bytes_; }
  uint64_t bytes_touched() const override { return work_.bytes_touched + stage_.bytes_touched(); }

 private:
  absl::Status CheckRows(absl::Span<const BatchRow> rows);
  absl::Status CheckWholeText(absl::Span<const BatchRow> rows, size_t t) const;
  void Embed(absl::Span<const BatchRow> rows);
  absl::Status RunStages();
  // The rows of x_ for which `wanted` is set, normed, in `out`; their number.
  uint32_t TakeRows(absl::Span<const BatchRow> rows, bool BatchRow::*wanted, float* out);
  absl::Status ComputeLogits(absl::Span<const BatchRow> rows, absl::Span<float> logits);
  void TakeStates(absl::Span<const BatchRow> rows);

  std::shared_ptr<const Model> model_;
  DecoderOptions options_;
  const ModelSpec& spec_;
  const LeaderWeights& weights_;
  uint64_t kv_bytes_;
  std::vector<uint32_t> lengths_;       // by sequence
  std::vector<uint32_t> next_lengths_;  // what they become when the step succeeds

  DeviceSet devices_;
  Workspace work_;
  Stage stage_;
  std::vector<StagePart> stages_;
  uint64_t step_ = 0;
  std::vector<RowPlace> places_;  // of the rows
  std::vector<float> x_;          // (rows, n_embd): the residual stream
  std::vector<float> normed_;     // (rows, n_embd)
  std::vector<float> states_;     // (rows with want_state, n_embd)
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
    if (!spec_.causal) HEARTH_RETURN_IF_ERROR(CheckWholeText(rows, static_cast<size_t>(&row - rows.data())));
    ++next_lengths_[row.sequence];
  }
  return absl::OkStatus();
}

absl::Status LayeredDecoder::CheckWholeText(absl::Span<const BatchRow> rows, size_t t) const {
  if (rows[t].want_logits) {
    return absl::FailedPreconditionError(
        "the model makes embeddings only: it has no output head and cannot continue text");
  }
  const bool goes_on = t > 0 && rows[t - 1].sequence == rows[t].sequence;
  if (rows[t].position == 0 || goes_on) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("position ", rows[t].position, " of sequence ",
                                                 rows[t].sequence,
                                                 " is apart from those before it; this model reads a text "
                                                 "whole, in one step of at most ",
                                                 options_.max_rows, " tokens"));
}

void LayeredDecoder::Embed(absl::Span<const BatchRow> rows) {
  const size_t n = spec_.n_embd;
  work_.ForEach(rows.size(), [&](uint32_t t) {
    const BatchRow& row = rows[t];
    float* x = x_.data() + t * n;
    weights_.embedding.Read(static_cast<uint64_t>(row.token), x);
    if (spec_.embedding_scale != 1) Scale(spec_.embedding_scale, n, x);
    if (!weights_.token_type.empty()) Add(weights_.token_type.data(), n, x);
    if (spec_.learned_positions > 0) {
      float* position = normed_.data() + t * n;
      weights_.positions.Read(uint64_t{row.position} + spec_.position_offset, position);
      Add(position, n, x);
    }
  });
  ApplyNorm(work_, NormFormula(spec_), weights_.embedding_norm, rows.size(), n, x_.data(), x_.data());
}

void LayeredDecoder::SetStages(std::vector<StagePart> stages) {
  uint32_t next = 0;
  for (const StagePart& stage : stages) {
    HEARTH_CHECK(stage.layers.first == next && stage.layers.last > next);
    next = stage.layers.last;
  }
  HEARTH_CHECK(next == spec_.n_layers);
  stages_ = std::move(stages);
}

absl::Status LayeredDecoder::RunStages() {
  for (const StagePart& stage : stages_) {
    if (stage.remote == nullptr) {
      HEARTH_RETURN_IF_ERROR(stage_.Run(step_, places_, stage.layers, devices_, x_.data()));
      continue;
    }
    const Timeline::Span span(Timeline::Kind::kAnswered, stage.remote->name(),
                              [&] { return TextOf(stage.layers); });
    HEARTH_RETURN_IF_ERROR(stage.remote->RunStage(step_, places_, x_.data()));
  }
  return absl::OkStatus();
}

uint32_t LayeredDecoder::TakeRows(absl::Span<const BatchRow> rows, bool BatchRow::*wanted, float* out) {
  const size_t n = spec_.n_embd;
  uint32_t taken = 0;
  for (size_t t = 0; t < rows.size(); ++t) {
    if (rows[t].*wanted) std::copy_n(x_.data() + t * n, n, out + n * taken++);
  }
  if (taken > 0) ApplyNorm(work_, NormFormula(spec_), weights_.output_norm, taken, n, out, out);
  return taken;
}

void LayeredDecoder::TakeStates(absl::Span<const BatchRow> rows) {
  const auto wanted =
      std::count_if(rows.begin(), rows.end(), [](const BatchRow& row) { return row.want_state; });
  states_.resize(static_cast<size_t>(wanted) * spec_.n_embd);
  TakeRows(rows, &BatchRow::want_state, states_.data());
}

absl::Status LayeredDecoder::ComputeLogits(absl::Span<const BatchRow> rows, absl::Span<float> logits) {
  const uint32_t wanted = TakeRows(rows, &BatchRow::want_logits, normed_.data());
  if (wanted == 0) return absl::OkStatus();
  HEARTH_CHECK(logits.size() >= size_t{wanted} * spec_.n_vocab);
  devices_.Submit(
      OutputRequest{.rows = wanted, .x = normed_.data(), .logits = logits.data(), .n_vocab = spec_.n_vocab});
  HEARTH_RETURN_IF_ERROR(devices_.Collect(Work::kOutput, {}));
  const absl::Span<float> values = logits.first(size_t{wanted} * spec_.n_vocab);
  if (spec_.logit_scale != 1) Scale(spec_.logit_scale, values.size(), values.data());
  if (spec_.logit_softcap > 0) {
    for (float& value : values) value = spec_.logit_softcap * std::tanh(value / spec_.logit_softcap);
  }
  return absl::OkStatus();
}

absl::Status LayeredDecoder::Step(absl::Span<const BatchRow> rows, absl::Span<float> logits) {
  HEARTH_RETURN_IF_ERROR(CheckRows(rows));
  ++step_;
  places_.clear();
  for (const BatchRow& row : rows) places_.push_back({row.sequence, row.position, row.prompt});
  Embed(rows);
  HEARTH_RETURN_IF_ERROR(RunStages());
  HEARTH_RETURN_IF_ERROR(ComputeLogits(rows, logits));
  TakeStates(rows);
  // The rows of tables are read from the file, and a device's matrices without a packed form.
  HEARTH_RETURN_IF_ERROR(model_->file().CheckUnchanged());
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
  const uint64_t memory_bytes = ReadProcessLimits().memory_bytes;
  if (bytes > memory_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the KV cache needs ", bytes >> 20, " MiB for ", options.sequences, " sequences of ",
                     options.context_length, " positions, this process may use ", memory_bytes >> 20,
                     " MiB of memory; use a shorter context, fewer sequences or a smaller cache type"));
  }
  return std::make_unique<LayeredDecoder>(std::move(model), options, bytes, pool);
}

}  // namespace hearth
