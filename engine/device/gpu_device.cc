#include "engine/device/gpu_device.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/fixed_point.h"
#include "engine/outline/output_rows.h"
#include "engine/weights/weight_loader.h"

namespace hearth {
namespace {

// Rows of the output head on a GPU.
class GpuOutput : public UnitPiece {
 public:
  // Rows of the matrix that are neighbours in the vocabulary as well.
  struct Segment {
    uint32_t first_row = 0;  // of the matrix
    uint32_t first_token = 0;
    uint32_t count = 0;
  };
  GpuOutput(std::vector<uint32_t> runs, std::vector<Segment> segments, GpuLinear rows)
      : UnitPiece(std::move(runs)), segments_(std::move(segments)), rows_(std::move(rows)) {}

  uint64_t weight_bytes() const override { return rows_.bytes(); }
  const GpuLinear& rows() const { return rows_; }
  const std::vector<Segment>& segments() const { return segments_; }

 private:
  const std::vector<Segment> segments_;
  const GpuLinear rows_;
};

}  // namespace

GpuDevice::Pinned::~Pinned() {
  if (data_ != nullptr) stream_->FreeHost(data_);
}

GpuDevice::Pinned::Pinned(Pinned&& other) noexcept
    : stream_(other.stream_), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}

uint8_t* GpuDevice::Pinned::Reserve(uint64_t bytes) {
  if (bytes <= bytes_) return data_;
  if (data_ != nullptr) stream_->FreeHost(data_);
  data_ = static_cast<uint8_t*>(stream_->AllocateHost(bytes));
  bytes_ = data_ == nullptr ? 0 : bytes;
  return data_;
}

class GpuDevice::Input {
 public:
  Input(gpu::Gpu& stream, uint8_t* memory, uint64_t bytes) : stream_(stream), next_(memory), left_(bytes) {}

  // Room for `count` values that Send copies to the GPU.
  template <class T>
  T* Take(uint64_t count) {
    HEARTH_CHECK(count * sizeof(T) <= left_);
    T* taken = reinterpret_cast<T*>(next_);
    const uint64_t bytes = (count * sizeof(T) + 15) / 16 * 16;
    next_ += bytes;
    left_ -= std::min(left_, bytes);
    return taken;
  }
  template <class T>
  void Send(const T* from, uint64_t count, T* to) {
    if (count > 0) stream_.CopyIn(to, from, count * sizeof(T));
  }
  // Rows of `cols` values, filled up with zeros.
  void SendRows(const float* from, uint32_t rows, uint32_t cols, const GpuActivations& to) {
    float* const taken = Take<float>(uint64_t{rows} * to.cols());
    for (uint32_t t = 0; t < rows; ++t) {
      float* const row = taken + size_t{t} * to.cols();
      std::fill(std::copy_n(from + size_t{t} * cols, cols, row), row + to.cols(), 0.0f);
    }
    Send(taken, uint64_t{rows} * to.cols(), to.values());
  }

 private:
  gpu::Gpu& stream_;
  uint8_t* next_;
  uint64_t left_;
};

GpuDevice::GpuDevice(std::string name, const ModelOutline& outline, const DecoderOptions& options,
                     std::shared_ptr<GpuMemory> memory)
    : LocalDevice(outline.spec.n_layers),
      name_(std::move(name)),
      model_(outline.spec),
      options_(options),
      exact_(outline.options.arithmetic == Arithmetic::kFloat32),
      memory_(std::move(memory)),
      ropes_(model_.ropes.size()) {
  needs_.max_rows = options.max_rows;
  needs_.n_embd = model_.n_embd;
  counters_.neurons_computed.resize(model_.n_layers);
  counters_.neurons_held.resize(model_.n_layers);
  absl::StatusOr<std::unique_ptr<gpu::Gpu>> stream = memory_->OpenStream();
  if (!stream.ok()) {
    failure_ = stream.status();
    return;
  }
  stream_ = *std::move(stream);
  for (size_t i = 0; i < kMaxInFlight; ++i) slots_.emplace_back(stream_.get());
}

GpuDevice::~GpuDevice() {
  if (stream_ != nullptr) stream_->Finish();
}

uint64_t GpuDevice::WeightBudget(uint64_t budget_bytes, const ModelOutline& outline,
                                 const DecoderOptions& options) {
  GpuNeeds needs;
  needs.max_rows = options.max_rows;
  needs.n_embd = outline.spec.n_embd;
  needs.output_values = outline.spec.n_embd + 1;
  for (uint32_t layer = 0; layer < outline.spec.n_layers; ++layer) {
    const FfnLayerSpec& ffn = outline.ffn_specs[layer];
    for (const uint32_t neurons : ffn.block_neurons) needs.neurons = std::max(needs.neurons, neurons);
    needs.blocks_per_row = std::max(needs.blocks_per_row, static_cast<uint32_t>(ffn.block_neurons.size()));
    if (outline.predicted()) needs.predictor_rank = std::max(needs.predictor_rank, ffn.predictor_rank);
    const LayerSpec& spec = outline.spec.layers[layer];
    if (GpuMixer::CanHold(outline.spec, spec, options.kv_type).ok()) {
      GpuMixer::AddNeeds(outline.spec, spec, options, needs);
    }
    if (spec.attention.rope) needs.rope_values = std::max(needs.rope_values, outline.spec.ropes[*spec.attention.rope].dims);
  }
  needs.output_rows = outline.spec.n_vocab;
  const uint64_t scratch = GpuScratch::Bytes(needs);
  const uint64_t left = budget_bytes - std::min(budget_bytes, scratch);
  constexpr uint64_t kPackedPerFile = 33;  // thirty-seconds: planes and their ends
  return left / kPackedPerFile * 32;
}

absl::Status GpuDevice::Supports(const ModelOutline& outline, const UnitId& unit, KvType kv) {
  switch (unit.kind) {
    case UnitKind::kHeads:
      return GpuMixer::CanHold(outline.spec, outline.spec.layers[unit.layer], kv);
    case UnitKind::kNeurons:
      return GpuFfn::CanHold(outline.ffn_specs[unit.layer]);
    case UnitKind::kOutput:
    case UnitKind::kLayer:  // belongs to whoever leads, on the host's CPU
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status GpuDevice::CanHold(const ModelOutline& outline, const UnitId& unit) const {
  const absl::Status status = Supports(outline, unit, options_.kv_type);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("device ", name_, ": ", status.message()));
}

absl::StatusOr<std::shared_ptr<UnitPiece>> GpuDevice::LoadNeurons(const LoadContext& context, uint32_t layer,
                                                                  std::vector<uint32_t> groups,
                                                                  std::vector<GroupWeights> weights) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GpuUploader> uploader,
                          GpuUploader::Create(*memory_, context.pool, context.outline.options.arithmetic));
  return GpuFfn::Load(context.outline.ffn_specs[layer], context.outline.options.sparsity, std::move(groups),
                      std::move(weights), *uploader);
}

absl::StatusOr<std::shared_ptr<UnitPiece>> GpuDevice::LoadHeads(const LoadContext& context, uint32_t layer,
                                                                std::vector<uint32_t> groups,
                                                                absl::Span<const UnitWeights> weights) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GpuUploader> uploader,
                          GpuUploader::Create(*memory_, context.pool, context.outline.options.arithmetic));
  return GpuMixer::Load(context, layer, std::move(groups), weights, *memory_, *uploader);
}

absl::StatusOr<std::shared_ptr<UnitPiece>> GpuDevice::LoadOutput(const LoadContext& context,
                                                                 std::vector<uint32_t> runs,
                                                                 absl::Span<const UnitWeights> weights) {
  std::vector<GpuOutput::Segment> segments;
  uint32_t rows = 0;
  for (uint32_t number : runs) {
    const IndexRange& run = context.outline.output_runs[number];
    const uint32_t begin = static_cast<uint32_t>(run.begin), count = static_cast<uint32_t>(run.size());
    if (segments.empty() || segments.back().first_token + segments.back().count != begin) {
      segments.push_back({rows, begin, 0});
    }
    segments.back().count += count;
    rows += count;
  }
  const TensorSet tensors = JoinUnits(weights);
  WeightLoader loader = WeightLoader::Borrowing(tensors, &context.pool);
  const Linear linear = LoadOutputRows(context.outline.spec, rows, loader);
  HEARTH_RETURN_IF_ERROR(loader.Finish());
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GpuUploader> uploader,
                          GpuUploader::Create(*memory_, context.pool, context.outline.options.arithmetic));
  HEARTH_ASSIGN_OR_RETURN(GpuLinear loaded, uploader->Upload(linear));
  return std::make_shared<GpuOutput>(std::move(runs), std::move(segments), std::move(loaded));
}

void GpuDevice::OnAdd(UnitKind kind, uint32_t, UnitPiece& piece) {
  if (kind == UnitKind::kNeurons) static_cast<GpuFfn&>(piece).AddNeeds(needs_);
  if (kind == UnitKind::kOutput) {
    needs_.output_rows = std::max(needs_.output_rows, static_cast<GpuOutput&>(piece).rows().matrix.rows);
  }
  if (kind != UnitKind::kHeads) return;
  const GpuMixer& mixer = static_cast<GpuMixer&>(piece);
  mixer.AddNeeds(needs_);
  const std::optional<uint32_t> rope = mixer.layer().attention.rope;
  if (rope && !ropes_[*rope]) {
    ropes_[*rope].emplace(model_.ropes[*rope], mixer.rope_factors(), options_.max_rows);
  }
}

absl::Status GpuDevice::Prepare() {
  HEARTH_RETURN_IF_ERROR(failure_);
  rope_offsets_.clear();
  needs_.rope_values = 0;
  for (size_t i = 0; i < ropes_.size(); ++i) {
    rope_offsets_.push_back(needs_.rope_values);
    if (ropes_[i]) needs_.rope_values += model_.ropes[i].dims;
  }
  HEARTH_ASSIGN_OR_RETURN(scratch_, GpuScratch::Create(*memory_, needs_));
  return absl::OkStatus();
}

absl::Status GpuDevice::StreamError() const {
  if (stream_->error().empty()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("device ", name_, ": ", stream_->error()));
}

Ticket GpuDevice::Submit(const Request& request) {
  HEARTH_CHECK(Holds(WorkOf(request), LayerOf(request)) && scratch_);
  ++submitted_;
  Slot& slot = SlotOf(submitted_);
  slot.request = request;
  slot.status = failure_;
  if (!slot.status.ok()) return submitted_;
  slot.status = std::visit([&](const auto& of_kind) { return Queue(of_kind, slot); }, slot.request);
  stream_->Mark(static_cast<uint32_t>(submitted_ % kMaxInFlight));
  return submitted_;
}

absl::Status GpuDevice::Collect(Ticket ticket, absl::Span<int64_t> sums) {
  HEARTH_CHECK(ticket <= submitted_ && submitted_ - ticket < kMaxInFlight);
  Slot& slot = SlotOf(ticket);
  HEARTH_RETURN_IF_ERROR(slot.status);
  stream_->WaitFor(static_cast<uint32_t>(ticket % kMaxInFlight));
  failure_.Update(StreamError());
  HEARTH_RETURN_IF_ERROR(failure_);
  if (const auto* output = std::get_if<OutputRequest>(&slot.request)) {
    const float* from = reinterpret_cast<const float*>(slot.results.data());
    for (const auto& piece : pieces(UnitKind::kOutput, 0)) {
      const GpuOutput& rows = static_cast<GpuOutput&>(*piece);
      for (uint32_t t = 0; t < output->rows; ++t, from += rows.rows().matrix.rows) {
        for (const GpuOutput::Segment& segment : rows.segments()) {
          std::copy_n(from + segment.first_row, segment.count,
                      output->logits + size_t{t} * output->n_vocab + segment.first_token);
        }
      }
    }
    return absl::OkStatus();
  }
  const int64_t* from = reinterpret_cast<const int64_t*>(slot.results.data());
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = AddFixedPoint(sums[i], from[i]);
  return absl::OkStatus();
}

absl::Status GpuDevice::QueueSums(uint64_t count, Slot& slot) {
  uint8_t* const results = slot.results.Reserve(count * sizeof(int64_t));
  if (results == nullptr) return absl::ResourceExhaustedError(absl::StrCat("device ", name_, ": no pinned memory"));
  stream_->CopyOut(results, scratch_->sums.as<void>(), count * sizeof(int64_t));
  return absl::OkStatus();
}

void GpuDevice::BeginStep(const MixRequest& request, const GpuMixer& mixer, Input& input) {
  const uint32_t rows = static_cast<uint32_t>(request.rows.size());
  if (!step_.begun || step_.number != request.step) {
    step_.begun = true;
    step_.number = request.step;
    step_.tile_rows = 0;
    gpu::GpuPlace* const places = input.Take<gpu::GpuPlace>(rows);
    std::vector<uint32_t> positions(rows);
    for (uint32_t t = 0; t < rows; ++t) {
      places[t] = {request.rows[t].sequence, request.rows[t].position};
      positions[t] = request.rows[t].position;
    }
    input.Send(places, rows, scratch_->places.as<gpu::GpuPlace>());
    for (size_t i = 0; i < ropes_.size(); ++i) {
      if (!ropes_[i]) continue;
      ropes_[i]->Set(positions);
      const absl::Span<const float> table = ropes_[i]->table(rows);
      float* const angles = input.Take<float>(table.size());
      std::copy(table.begin(), table.end(), angles);
      // Each rope has its part for max_rows rows.
      input.Send(angles, table.size(),
                 scratch_->angles.as<float>() + uint64_t{rope_offsets_[i]} * options_.max_rows);
    }
  }
  if (step_.tile_rows == mixer.TileRows() && step_.batch_rows == mixer.BatchRows()) return;
  step_.tile_rows = mixer.TileRows();
  step_.batch_rows = mixer.BatchRows();
  step_.batches.clear();
  gpu::RowTile* const tiles = input.Take<gpu::RowTile>(rows);
  uint32_t tile_count = 0;
  for (uint32_t first = 0; first < rows;) {
    uint32_t count = 1;
    const auto follows = [&](uint32_t t) {
      return t < rows && request.rows[t].sequence == request.rows[t - 1].sequence &&
             request.rows[t].position == request.rows[t - 1].position + 1;
    };
    while (count < step_.tile_rows && follows(first + count)) ++count;
    if (step_.batches.empty() || step_.batches.back().rows + count > step_.batch_rows) {
      step_.batches.push_back({first, 0, tile_count, 0, 0, request.rows[first].position});
    }
    GpuMixRows::Batch& batch = step_.batches.back();
    tiles[tile_count++] = {first - batch.first, count};
    batch.rows += count;
    ++batch.tiles;
    batch.first_position = std::min(batch.first_position, request.rows[first].position);
    batch.last_position = std::max(batch.last_position, request.rows[first + count - 1].position);
    first += count;
  }
  input.Send(tiles, tile_count, scratch_->tiles.as<gpu::RowTile>());
}

absl::Status GpuDevice::Queue(const MixRequest& request, Slot& slot) {
  const uint32_t rows = static_cast<uint32_t>(request.rows.size());
  HEARTH_CHECK(rows <= options_.max_rows);
  const auto& held = pieces(UnitKind::kHeads, request.layer);
  for (const auto& piece : held) HEARTH_RETURN_IF_ERROR(static_cast<GpuMixer&>(*piece).CheckRows(request.rows));
  const uint64_t per_row = (scratch_->x.cols() + needs_.rope_values) * sizeof(float) + sizeof(gpu::GpuPlace) +
                           sizeof(gpu::RowTile);
  const uint64_t bytes = rows * per_row + 16 * (ropes_.size() + 4 + held.size() * rows);
  uint8_t* const memory = slot.input.Reserve(bytes);
  if (memory == nullptr) return absl::ResourceExhaustedError(absl::StrCat("device ", name_, ": no pinned memory"));
  Input input(*stream_, memory, bytes);
  input.SendRows(request.x, rows, model_.n_embd, scratch_->x);
  scratch_->x.Reset();
  stream_->Clear(scratch_->sums.as<void>(), uint64_t{rows} * request.output_values * sizeof(int64_t));
  uint64_t touched = 0;
  for (const auto& piece : held) {
    const GpuMixer& mixer = static_cast<GpuMixer&>(*piece);
    BeginStep(request, mixer, input);
    GpuMixRows mix_rows;
    mix_rows.rows = request.rows;
    mix_rows.batches = step_.batches;
    mix_rows.places = scratch_->places.as<gpu::GpuPlace>();
    mix_rows.tiles = scratch_->tiles.as<gpu::RowTile>();
    if (const std::optional<uint32_t> rope = mixer.layer().attention.rope) {
      mix_rows.angles = scratch_->angles.as<float>() + uint64_t{rope_offsets_[*rope]} * options_.max_rows;
    }
    touched += mixer.Run(mix_rows, exact_, *scratch_, *stream_);
  }
  {
    MutexLock lock(&mutex_);
    counters_.bytes_touched += touched;
  }
  return QueueSums(uint64_t{rows} * request.output_values, slot);
}

absl::Status GpuDevice::Queue(const FfnRequest& request, Slot& slot) {
  const auto& held = pieces(UnitKind::kNeurons, request.layer);
  const FfnLayerSpec& spec = static_cast<GpuFfn&>(*held.front()).spec();
  const uint32_t rows = request.rows, rank = spec.predictor_rank;
  HEARTH_CHECK(rows <= options_.max_rows);
  const uint32_t blocks = static_cast<uint32_t>(spec.block_neurons.size());
  choices_.Set(request, blocks);
  std::vector<uint32_t> offsets;
  uint32_t chosen = 0;
  for (uint32_t b = 0; b < blocks; ++b) {
    offsets.push_back(chosen);
    chosen += static_cast<uint32_t>(choices_.rows(b).size());
  }
  const bool has_hidden = request.hidden != nullptr && needs_.predictor_rank > 0;
  const uint64_t bytes = uint64_t{rows} * (scratch_->x.cols() + (has_hidden ? scratch_->hidden.cols() : 0)) *
                             sizeof(float) +
                         uint64_t{chosen} * 2 * sizeof(float) + 64;
  uint8_t* const memory = slot.input.Reserve(bytes);
  if (memory == nullptr) return absl::ResourceExhaustedError(absl::StrCat("device ", name_, ": no pinned memory"));
  Input input(*stream_, memory, bytes);
  input.SendRows(request.x, rows, model_.n_embd, scratch_->x);
  scratch_->x.Reset();
  std::vector<bool> predicted(rows, false);
  if (has_hidden) {
    for (uint32_t t = 0; t < rows; ++t) predicted[t] = !std::isnan(request.hidden[size_t{t} * rank]);
    input.SendRows(request.hidden, rows, rank, scratch_->hidden);
    scratch_->hidden.Reset();
  }
  float* const factors = input.Take<float>(chosen);
  uint32_t* const ids = input.Take<uint32_t>(chosen);
  for (uint32_t b = 0, at = 0; b < blocks; ++b) {
    for (const ChosenRow& row : choices_.rows(b)) {
      factors[at] = row.weight;
      ids[at++] = row.row;
    }
  }
  input.Send(factors, chosen, scratch_->factors.as<float>());
  input.Send(ids, chosen, scratch_->row_ids.as<uint32_t>());
  stream_->Clear(scratch_->sums.as<void>(), uint64_t{rows} * request.output_values * sizeof(int64_t));
  const GpuFfn::Rows ffn_rows = {rows,    choices_, scratch_->factors.as<float>(), scratch_->row_ids.as<uint32_t>(),
                                 offsets, predicted};
  GpuFfn::Work work;
  uint64_t neurons = 0;
  for (const auto& piece : held) {
    const GpuFfn& ffn = static_cast<GpuFfn&>(*piece);
    const GpuFfn::Work done = ffn.Run(ffn_rows, exact_, *scratch_, *stream_);
    work.neurons_computed += done.neurons_computed;
    work.bytes_touched += done.bytes_touched;
    neurons += ffn.neurons();
  }
  {
    MutexLock lock(&mutex_);
    counters_.neurons_computed[request.layer] += work.neurons_computed;
    counters_.neurons_held[request.layer] += neurons * rows;
    counters_.bytes_touched += work.bytes_touched;
  }
  return QueueSums(uint64_t{rows} * request.output_values, slot);
}

absl::Status GpuDevice::Queue(const OutputRequest& request, Slot& slot) {
  const uint32_t rows = request.rows;
  HEARTH_CHECK(rows <= options_.max_rows);
  const uint64_t bytes = uint64_t{rows} * scratch_->x.cols() * sizeof(float);
  uint64_t held = 0;
  for (const auto& piece : pieces(UnitKind::kOutput, 0)) held += static_cast<GpuOutput&>(*piece).rows().matrix.rows;
  uint8_t* const memory = slot.input.Reserve(bytes);
  uint8_t* const results = slot.results.Reserve(uint64_t{rows} * held * sizeof(float));
  if (memory == nullptr || results == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("device ", name_, ": no pinned memory"));
  }
  Input input(*stream_, memory, bytes);
  input.SendRows(request.x, rows, model_.n_embd, scratch_->x);
  scratch_->x.Reset();
  float* to = reinterpret_cast<float*>(results);
  uint64_t touched = 0;
  for (const auto& piece : pieces(UnitKind::kOutput, 0)) {
    const GpuLinear& linear = static_cast<GpuOutput&>(*piece).rows();
    touched += linear.bytes();
    for (uint32_t first = 0; first < rows; first += gpu::kMaxTokens) {
      gpu::MatVecArgs args;
      args.products[0] = {linear.matrix, scratch_->logits.as<float>(), linear.matrix.rows, linear.bias_values(),
                          linear.scale};
      args.product_count = 1;
      args.x = scratch_->x.For(linear.matrix.type, exact_, rows, *stream_);
      args.tokens.count = std::min(gpu::kMaxTokens, rows - first);
      for (uint32_t t = 0; t < args.tokens.count; ++t) {
        args.tokens.in[t] = first + t;
        args.tokens.out[t] = t;
      }
      stream_->MatVec(args, exact_);
      const uint64_t values = uint64_t{args.tokens.count} * linear.matrix.rows;
      stream_->CopyOut(to, scratch_->logits.as<float>(), values * sizeof(float));
      to += values;
    }
  }
  MutexLock lock(&mutex_);
  counters_.bytes_touched += touched;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint8_t>> GpuDevice::ReadKv(const KvRange& range) {
  HEARTH_ASSIGN_OR_RETURN(UnitPiece* const piece, FindHeads(range));
  return static_cast<GpuMixer*>(piece)->ReadKv(range, *stream_);
}

absl::Status GpuDevice::WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(UnitPiece* const piece, FindHeads(range));
  return static_cast<GpuMixer*>(piece)->WriteKv(range, bytes, *stream_);
}

DeviceCounters GpuDevice::counters() const {
  MutexLock lock(&mutex_);
  return counters_;
}

}  // namespace hearth
