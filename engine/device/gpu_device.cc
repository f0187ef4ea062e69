#include "engine/device/gpu_device.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/fixed_point.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/outline/leader_weights.h"
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

void GpuDevice::Input::Use(uint64_t bytes) {
  HEARTH_CHECK(bytes <= bytes_ - used_);
  constexpr uint64_t kPartEnd = 16;
  used_ = std::min(bytes_, used_ + (bytes + kPartEnd - 1) / kPartEnd * kPartEnd);
}

float* GpuDevice::Input::TakeRows(const float* from, uint32_t rows, uint32_t cols, GpuActivations& to) {
  const Part<float> part = Take<float>(uint64_t{rows} * to.cols());
  for (uint32_t t = 0; t < rows; ++t) {
    float* const row = part.host + size_t{t} * to.cols();
    std::fill(std::copy_n(from + size_t{t} * cols, cols, row), row + to.cols(), 0.0f);
  }
  to.SetValues(part.device);
  return part.device;
}

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
  for (size_t i = 0; i < kWorkKinds; ++i) single_.emplace_back(stream_.get());
  recorded_.resize(size_t{2} * model_.n_layers + 1);
  whole_.resize(model_.n_layers);
  stage_exchange_.SetStream(stream_.get());
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
  }
  for (const RopeSpec& rope : outline.spec.ropes) needs.rope_values += rope.dims;
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
    needs_.rope_values += model_.ropes[*rope].dims;
    ropes_[*rope].emplace(model_.ropes[*rope], mixer.rope_factors(), options_.max_rows);
  }
}

absl::Status GpuDevice::Prepare() {
  HEARTH_RETURN_IF_ERROR(failure_);
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
  slot.exchange->busy = false;
  stream_->WaitFor(static_cast<uint32_t>(ticket % kMaxInFlight));
  failure_.Update(StreamError());
  HEARTH_RETURN_IF_ERROR(failure_);
  if (const auto* output = std::get_if<OutputRequest>(&slot.request)) {
    const float* from = reinterpret_cast<const float*>(slot.exchange->results.data());
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
  const int64_t* from = reinterpret_cast<const int64_t*>(slot.exchange->results.data());
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = AddFixedPoint(sums[i], from[i]);
  return absl::OkStatus();
}

absl::Status GpuDevice::NoPinnedMemory() const {
  return absl::ResourceExhaustedError(
      absl::StrCat("device ", name_, ": the system has no memory that stays where it is for what goes to the GPU"));
}

GpuDevice::Exchange& GpuDevice::ExchangeFor(uint32_t rows, Slot& slot) {
  Exchange& single = single_[static_cast<size_t>(WorkOf(slot.request))];
  slot.exchange = rows == 1 && !single.busy ? &single : &slot.own;
  return *slot.exchange;
}

absl::StatusOr<GpuDevice::Input> GpuDevice::MakeInput(uint32_t rows, uint64_t result_bytes, Exchange& exchange) {
  HEARTH_CHECK(rows <= options_.max_rows);
  const uint64_t bytes = needs_.InputBytes(rows);
  uint8_t* const memory = exchange.input.Reserve(bytes);
  if (memory == nullptr || exchange.results.Reserve(result_bytes) == nullptr) return NoPinnedMemory();
  exchange.busy = true;
  return Input(memory, scratch_->input.as<uint8_t>(), bytes);
}

template <class Work>
void GpuDevice::QueueOrReplay(bool records, uint64_t key, const Exchange& exchange, Recorded& recorded,
                              const Work& work) {
  if (!records) return work();
  const bool same = recorded.recording != nullptr && recorded.key == key &&
                    recorded.input == exchange.input.data() && recorded.results == exchange.results.data();
  if (!same) {
    stream_->Record();
    work();
    recorded = {key, exchange.input.data(), exchange.results.data(), stream_->EndRecord()};
    if (recorded.recording == nullptr) return;
  }
  stream_->Replay(*recorded.recording);
}

uint32_t GpuDevice::CutRows(absl::Span<const RowPlace> rows, const GpuMixer& mixer, gpu::RowTile* tiles,
                            std::vector<GpuMixRows::Batch>& batches) {
  const uint32_t tile_rows = mixer.TileRows(), batch_rows = mixer.BatchRows();
  uint32_t tile_count = 0;
  batches.clear();
  for (uint32_t first = 0; first < rows.size();) {
    uint32_t count = 1;
    const auto follows = [&](uint32_t t) {
      return t < rows.size() && rows[t].sequence == rows[t - 1].sequence &&
             rows[t].position == rows[t - 1].position + 1;
    };
    while (count < tile_rows && follows(first + count)) ++count;
    if (batches.empty() || batches.back().rows + count > batch_rows) {
      batches.push_back({first, 0, tile_count, 0, 0, rows[first].position});
    }
    GpuMixRows::Batch& batch = batches.back();
    tiles[tile_count++] = {first - batch.first, count};
    batch.rows += count;
    ++batch.tiles;
    batch.first_position = std::min(batch.first_position, rows[first].position);
    batch.last_position = std::max(batch.last_position, rows[first + count - 1].position);
    first += count;
  }
  return tile_count;
}

GpuDevice::Places GpuDevice::TakePlaces(uint64_t step, absl::Span<const RowPlace> rows, Input& input) {
  const auto count = static_cast<uint32_t>(rows.size());
  Places taken = {input.Take<gpu::GpuPlace>(count), input.Take<gpu::RowTile>(count), {}};
  for (uint32_t t = 0; t < count; ++t) taken.places.host[t] = {rows[t].sequence, rows[t].position};
  if (!has_step_ || step_ != step) {
    has_step_ = true;
    step_ = step;
    std::vector<uint32_t> positions;
    for (const RowPlace& row : rows) positions.push_back(row.position);
    for (std::optional<RopeAngles>& rope : ropes_) {
      if (rope) rope->Set(positions);
    }
  }
  for (const std::optional<RopeAngles>& rope : ropes_) {
    taken.angles.push_back(nullptr);
    if (!rope) continue;
    const absl::Span<const float> table = rope->table(count);
    const Input::Part<float> part = input.Take<float>(table.size());
    std::copy(table.begin(), table.end(), part.host);
    taken.angles.back() = part.device;
  }
  return taken;
}

GpuMixRows GpuDevice::MixRowsOf(absl::Span<const RowPlace> rows, const Places& places, const GpuMixer& mixer) const {
  GpuMixRows mix_rows;
  mix_rows.rows = rows;
  CutRows(rows, mixer, places.tiles.host, mix_rows.batches);
  mix_rows.places = places.places.device;
  mix_rows.tiles = places.tiles.device;
  if (const std::optional<uint32_t> rope = mixer.layer().attention.rope) mix_rows.angles = places.angles[*rope];
  return mix_rows;
}

absl::Status GpuDevice::Queue(const MixRequest& request, Slot& slot) {
  const uint32_t rows = static_cast<uint32_t>(request.rows.size());
  const auto& held = pieces(UnitKind::kHeads, request.layer);
  for (const auto& piece : held) HEARTH_RETURN_IF_ERROR(static_cast<GpuMixer&>(*piece).CheckRows(request.rows));
  const uint64_t sums = uint64_t{rows} * request.output_values;
  Exchange& exchange = ExchangeFor(rows, slot);
  HEARTH_ASSIGN_OR_RETURN(Input input, MakeInput(rows, sums * sizeof(int64_t), exchange));
  input.TakeRows(request.x, rows, model_.n_embd, scratch_->x);
  const Places places = TakePlaces(request.step, request.rows, input);
  // The pieces of a layer have heads of the same kind.
  const GpuMixer& first = static_cast<GpuMixer&>(*held.front());
  const GpuMixRows mix_rows = MixRowsOf(request.rows, places, first);
  uint64_t touched = 0;
  for (const auto& piece : held) touched += static_cast<GpuMixer&>(*piece).BytesTouched(request.rows);
  const uint64_t key = GpuMixer::KeyOf(first.layer().attention, mix_rows.batches.front());
  QueueOrReplay(rows == 1 && &exchange != &slot.own, key, exchange, recorded_[size_t{2} * request.layer], [&] {
    input.CopyIn(*stream_);
    for (const auto& piece : held) {
      static_cast<GpuMixer&>(*piece).Run(mix_rows, exact_, piece == held.front(), *scratch_, *stream_);
    }
    stream_->CopyOut(exchange.results.data(), scratch_->sums.as<void>(), sums * sizeof(int64_t));
  });
  MutexLock lock(&mutex_);
  counters_.bytes_touched += touched;
  return absl::OkStatus();
}

void GpuDevice::QueueFfn(uint32_t layer, const GpuFfn::Rows& rows) {
  const auto& held = pieces(UnitKind::kNeurons, layer);
  const GpuFfn& first = static_cast<GpuFfn&>(*held.front());
  if (!first.Overwrites(rows)) {
    stream_->Clear(scratch_->sums.as<void>(), uint64_t{rows.count} * first.spec().output_values() * sizeof(int64_t));
  }
  for (const auto& piece : held) {
    static_cast<GpuFfn&>(*piece).Run(rows, exact_, piece == held.front(), *scratch_, *stream_);
  }
}

absl::Status GpuDevice::Queue(const FfnRequest& request, Slot& slot) {
  const auto& held = pieces(UnitKind::kNeurons, request.layer);
  const FfnLayerSpec& spec = static_cast<GpuFfn&>(*held.front()).spec();
  const uint32_t rows = request.rows, rank = spec.predictor_rank;
  const uint32_t blocks = static_cast<uint32_t>(spec.block_neurons.size());
  choices_.Set(request, blocks);
  std::vector<uint32_t> offsets;
  uint32_t chosen = 0;
  for (uint32_t b = 0; b < blocks; ++b) {
    offsets.push_back(chosen);
    chosen += static_cast<uint32_t>(choices_.rows(b).size());
  }
  const uint64_t sums = uint64_t{rows} * request.output_values;
  Exchange& exchange = ExchangeFor(rows, slot);
  HEARTH_ASSIGN_OR_RETURN(Input input, MakeInput(rows, sums * sizeof(int64_t), exchange));
  input.TakeRows(request.x, rows, model_.n_embd, scratch_->x);
  std::vector<bool> predicted(rows, false);
  if (request.hidden != nullptr && needs_.predictor_rank > 0) {
    for (uint32_t t = 0; t < rows; ++t) predicted[t] = !std::isnan(request.hidden[size_t{t} * rank]);
    input.TakeRows(request.hidden, rows, rank, scratch_->hidden);
  }
  const Input::Part<float> factors = input.Take<float>(chosen);
  const Input::Part<uint32_t> ids = input.Take<uint32_t>(chosen);
  for (uint32_t b = 0, at = 0; b < blocks; ++b) {
    for (const ChosenRow& row : choices_.rows(b)) {
      factors.host[at] = row.weight;
      ids.host[at++] = row.row;
    }
  }
  const GpuFfn::Rows ffn_rows = {rows, choices_, factors.device, ids.device, offsets, predicted};
  GpuFfn::Work work;
  uint64_t neurons = 0;
  for (const auto& piece : held) {
    const GpuFfn& ffn = static_cast<GpuFfn&>(*piece);
    const GpuFfn::Work done = ffn.WorkFor(ffn_rows);
    work.neurons_computed += done.neurons_computed;
    work.bytes_touched += done.bytes_touched;
    neurons += ffn.neurons();
  }

  // Which blocks a row of experts takes changes from token to token; a layer of one block is always the same.
  const bool steady = blocks == 1 && chosen == rows;
  const uint64_t key = predicted[0] ? 1 : 2;
  QueueOrReplay(
      rows == 1 && &exchange != &slot.own && steady, key, exchange, recorded_[size_t{2} * request.layer + 1], [&] {
        input.CopyIn(*stream_);
        QueueFfn(request.layer, ffn_rows);
        stream_->CopyOut(exchange.results.data(), scratch_->sums.as<void>(), sums * sizeof(int64_t));
      });
  MutexLock lock(&mutex_);
  counters_.neurons_computed[request.layer] += work.neurons_computed;
  counters_.neurons_held[request.layer] += neurons * rows;
  counters_.bytes_touched += work.bytes_touched;
  return absl::OkStatus();
}

absl::Status GpuDevice::Queue(const OutputRequest& request, Slot& slot) {
  const uint32_t rows = request.rows;
  uint64_t held = 0, touched = 0;
  for (const auto& piece : pieces(UnitKind::kOutput, 0)) {
    held += static_cast<GpuOutput&>(*piece).rows().matrix.rows;
    touched += static_cast<GpuOutput&>(*piece).rows().bytes();
  }
  Exchange& exchange = ExchangeFor(rows, slot);
  HEARTH_ASSIGN_OR_RETURN(Input input, MakeInput(rows, uint64_t{rows} * held * sizeof(float), exchange));
  input.TakeRows(request.x, rows, model_.n_embd, scratch_->x);
  QueueOrReplay(rows == 1 && &exchange != &slot.own, 1, exchange, recorded_.back(), [&] {
    input.CopyIn(*stream_);
    float* to = reinterpret_cast<float*>(exchange.results.data());
    for (const auto& piece : pieces(UnitKind::kOutput, 0)) {
      const GpuLinear& linear = static_cast<GpuOutput&>(*piece).rows();
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
  });
  MutexLock lock(&mutex_);
  counters_.bytes_touched += touched;
  return absl::OkStatus();
}

bool GpuDevice::CanLead(const ModelOutline& outline, uint32_t layer) const {
  const LayerSpec& spec = outline.spec.layers[layer];
  const FfnLayerSpec& ffn = outline.ffn_specs[layer];
  if (spec.parallel || !spec.ffn.present || spec.ffn.router || ffn.block_neurons.size() != 1) return false;
  if (spec.attention_norm.empty() || spec.ffn_norm.empty() || model_.n_embd > gpu::kMaxResidualCols) return false;
  const auto held = [&](UnitKind kind) {
    size_t units = 0;
    for (const auto& piece : pieces(kind, layer)) units += piece->units().size();
    return units;
  };
  return held(UnitKind::kHeads) == outline.head_groups[layer].size() &&
         held(UnitKind::kNeurons) == outline.neuron_groups[layer].size();
}

absl::Status GpuDevice::LoadLayer(const LoadContext& context, uint32_t layer, const UnitWeights& weights) {
  const ModelOutline& outline = context.outline;
  const TensorSet tensors = JoinUnits({&weights, 1});
  WeightLoader loader = WeightLoader::Borrowing(tensors, &context.pool);
  const LayerWeights own = LoadLayerWeights(outline.spec, layer, outline.predicted(), loader);
  HEARTH_RETURN_IF_ERROR(loader.Finish());
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GpuUploader> uploader,
                          GpuUploader::Create(*memory_, context.pool, outline.options.arithmetic));
  WholeLayer& whole = whole_[layer];
  const auto load_norm = [&](const Norm& from, WholeLayer::OwnNorm& to) -> absl::Status {
    HEARTH_ASSIGN_OR_RETURN(to.weight, uploader->Upload(from.weight));
    HEARTH_ASSIGN_OR_RETURN(to.bias, uploader->Upload(from.bias));
    to.norm = {from.present, model_.norm == NormKind::kLayer, model_.norm_epsilon, to.weight.as<float>(),
               to.bias.as<float>()};
    return absl::OkStatus();
  };
  HEARTH_RETURN_IF_ERROR(load_norm(own.attention_norm, whole.attention));
  HEARTH_RETURN_IF_ERROR(load_norm(own.attention_post_norm, whole.attention_post));
  HEARTH_RETURN_IF_ERROR(load_norm(own.ffn_norm, whole.ffn));
  HEARTH_RETURN_IF_ERROR(load_norm(own.ffn_post_norm, whole.ffn_post));
  HEARTH_ASSIGN_OR_RETURN(whole.mixer_bias, uploader->Upload(own.mixer_bias));
  whole.mixer_scale = own.mixer_scale;
  const FfnSpec& ffn = outline.spec.layers[layer].ffn;
  const bool predicted =
      LayerSparsity(outline.ffn_specs[layer], outline.options.sparsity) == SparsityMode::kPredicted;
  if (predicted) {
    HEARTH_ASSIGN_OR_RETURN(whole.predictor, uploader->Upload(own.predictor));
    whole.predictor_input = ffn.predictor_input;
    whole.predictor_linear = ffn.predictor_linear;
  }
  whole.loaded = true;
  needs_.leads = true;
  return absl::OkStatus();
}

uint32_t GpuDevice::WholeLayersFrom(uint32_t layer) const {
  uint32_t last = layer;
  while (last < whole_.size() && whole_[last].loaded) ++last;
  return last;
}

void GpuDevice::QueueResidual(uint32_t layer, bool of_ffn, const gpu::GpuNorm* next, uint32_t rows) {
  const WholeLayer& whole = whole_[layer];
  gpu::ResidualArgs args;
  args.sums = scratch_->sums.as<int64_t>();
  args.sums_stride = model_.n_embd;
  args.scale = of_ffn ? 1 : whole.mixer_scale;
  args.bias = of_ffn ? nullptr : whole.mixer_bias.as<float>();
  args.post = of_ffn ? whole.ffn_post.norm : whole.attention_post.norm;
  args.residual_scale = model_.residual_scale;
  args.x = scratch_->residual.values();
  if (next != nullptr) {
    args.norm = *next;
    args.out = scratch_->normed.as<float>();
  }
  args.stride = scratch_->x.cols();
  args.cols = model_.n_embd;
  args.rows = rows;
  stream_->Residual(args);
  scratch_->residual.Reset();
  scratch_->x.SetValues(scratch_->normed.as<float>());
}

void GpuDevice::QueuePredictor(const WholeLayer& whole, const GpuFfn::Rows& ffn_rows, GpuActivations& from) {
  const GpuLinear& predictor = whole.predictor;
  const uint32_t stride = scratch_->hidden.cols();
  if (stride > predictor.matrix.rows) {
    stream_->Clear(scratch_->predicted.as<void>(), uint64_t{ffn_rows.count} * stride * sizeof(float));
  }
  for (uint32_t first = 0; first < ffn_rows.count; first += gpu::kMaxTokens) {
    gpu::MatVecArgs args;
    args.products[0] = {predictor.matrix,        scratch_->predicted.as<float>(), stride, predictor.bias_values(),
                        predictor.scale, !whole.predictor_linear};
    args.product_count = 1;
    args.x = from.For(predictor.matrix.type, exact_, ffn_rows.count, *stream_);
    args.tokens.count = std::min(gpu::kMaxTokens, ffn_rows.count - first);
    for (uint32_t t = 0; t < args.tokens.count; ++t) args.tokens.in[t] = args.tokens.out[t] = first + t;
    stream_->MatVec(args, exact_);
  }
  scratch_->hidden.SetValues(scratch_->predicted.as<float>());
}

void GpuDevice::QueueLayer(uint32_t layer, const Places& places, absl::Span<const RowPlace> rows,
                           const GpuFfn::Rows& ffn_rows, bool more) {
  const WholeLayer& whole = whole_[layer];
  const bool predicts = !whole.predictor.empty() &&
                        std::any_of(rows.begin(), rows.end(), [](const RowPlace& row) { return !row.prompt; });
  if (predicts && whole.predictor_input == FfnSideInput::kLayerInput) {
    QueuePredictor(whole, ffn_rows, scratch_->residual);
  }
  const auto& heads = pieces(UnitKind::kHeads, layer);
  for (const auto& piece : heads) {
    const GpuMixer& mixer = static_cast<GpuMixer&>(*piece);
    mixer.Run(MixRowsOf(rows, places, mixer), exact_, piece == heads.front(), *scratch_, *stream_);
  }
  QueueResidual(layer, false, &whole.ffn.norm, ffn_rows.count);
  if (predicts && whole.predictor_input == FfnSideInput::kResidual) {
    QueuePredictor(whole, ffn_rows, scratch_->residual);
  }
  if (predicts && whole.predictor_input == FfnSideInput::kNormed) QueuePredictor(whole, ffn_rows, scratch_->x);
  QueueFfn(layer, ffn_rows);
  QueueResidual(layer, true, more ? &whole_[layer + 1].attention.norm : nullptr, ffn_rows.count);
}

absl::Status GpuDevice::RunLayers(uint64_t step, absl::Span<const RowPlace> rows, uint32_t first, uint32_t last,
                                  float* x) {
  HEARTH_CHECK(scratch_ && first < last && WholeLayersFrom(first) >= last);
  HEARTH_RETURN_IF_ERROR(failure_);
  const auto count = static_cast<uint32_t>(rows.size());
  uint64_t key = first, touched = 0;
  bool same_tiles = true;
  const GpuMixer& model_mixer = static_cast<GpuMixer&>(*pieces(UnitKind::kHeads, first).front());
  for (uint32_t layer = first; layer < last; ++layer) {
    for (const auto& piece : pieces(UnitKind::kHeads, layer)) {
      const GpuMixer& mixer = static_cast<GpuMixer&>(*piece);
      HEARTH_RETURN_IF_ERROR(mixer.CheckRows(rows));
      touched += mixer.BytesTouched(rows);
      same_tiles = same_tiles && mixer.TileRows() == model_mixer.TileRows() &&
                   mixer.BatchRows() == model_mixer.BatchRows();
    }
  }
  // Tiles are cut once for all layers: those that take others run in calls of their own.
  if (!same_tiles && last - first > 1) {
    for (uint32_t layer = first; layer < last; ++layer) {
      HEARTH_RETURN_IF_ERROR(RunLayers(step, rows, layer, layer + 1, x));
    }
    return absl::OkStatus();
  }
  const uint32_t cols = scratch_->x.cols();
  HEARTH_ASSIGN_OR_RETURN(Input input, MakeInput(count, uint64_t{count} * cols * sizeof(float), stage_exchange_));
  input.TakeRows(x, count, model_.n_embd, scratch_->residual);
  const Places places = TakePlaces(step, rows, input);
  std::vector<bool> predicted(count);
  for (uint32_t t = 0; t < count; ++t) predicted[t] = !rows[t].prompt;
  FfnRequest everything;
  everything.rows = count;
  choices_.Set(everything, 1);
  const std::vector<uint32_t> offsets = {0};
  const GpuFfn::Rows ffn_rows = {count, choices_, nullptr, nullptr, offsets, predicted};
  for (uint32_t layer = first; layer < last; ++layer) {
    const GpuMixer& mixer = static_cast<GpuMixer&>(*pieces(UnitKind::kHeads, layer).front());
    const GpuMixRows mix_rows = MixRowsOf(rows, places, mixer);
    key = key * 1000003 + GpuMixer::KeyOf(mixer.layer().attention, mix_rows.batches.front());
  }
  key = key * 2 + (predicted[0] ? 1 : 0);

  if (recorded_stages_.size() <= first) recorded_stages_.resize(first + 1);
  QueueOrReplay(count == 1, key, stage_exchange_, recorded_stages_[first], [&] {
    input.CopyIn(*stream_);
    gpu::ResidualArgs begin;
    begin.x = scratch_->residual.values();
    begin.norm = whole_[first].attention.norm;
    begin.out = scratch_->normed.as<float>();
    begin.stride = cols;
    begin.cols = model_.n_embd;
    begin.rows = count;
    stream_->Residual(begin);
    scratch_->x.SetValues(begin.out);
    for (uint32_t layer = first; layer < last; ++layer) QueueLayer(layer, places, rows, ffn_rows, layer + 1 < last);
    stream_->CopyOut(stage_exchange_.results.data(), begin.x, uint64_t{count} * cols * sizeof(float));
  });
  stream_->Mark(kMaxInFlight);
  stream_->WaitFor(kMaxInFlight);
  failure_.Update(StreamError());
  HEARTH_RETURN_IF_ERROR(failure_);
  const float* results = reinterpret_cast<const float*>(stage_exchange_.results.data());
  for (uint32_t t = 0; t < count; ++t) {
    std::copy_n(results + size_t{t} * cols, model_.n_embd, x + size_t{t} * model_.n_embd);
  }
  MutexLock lock(&mutex_);
  counters_.bytes_touched += touched;
  for (uint32_t layer = first; layer < last; ++layer) {
    for (const auto& piece : pieces(UnitKind::kNeurons, layer)) {
      const GpuFfn& ffn = static_cast<GpuFfn&>(*piece);
      const GpuFfn::Work work = ffn.WorkFor(ffn_rows);
      counters_.neurons_computed[layer] += work.neurons_computed;
      counters_.neurons_held[layer] += ffn.neurons() * count;
      counters_.bytes_touched += work.bytes_touched;
    }
  }
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
