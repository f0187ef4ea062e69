#include "engine/device/gpu_device.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/device/gpu_output.h"
#include "engine/kernel/fixed_point.h"
#include "engine/outline/output_rows.h"
#include "engine/weights/weight_loader.h"

namespace hearth {

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
  std::vector<RowSegment> segments = SegmentsOf(context.outline.output_runs, runs);
  const size_t rows = segments.back().first_row + segments.back().count;
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
        for (const RowSegment& segment : rows.segments()) {
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

absl::Status GpuDevice::NoPinnedMemory() {
  failure_ = absl::UnavailableError(absl::StrCat(
      "device ", name_, ": the system has no memory that stays where it is for what goes to the GPU"));
  return failure_;
}

GpuExchange& GpuDevice::ExchangeFor(uint32_t rows, Slot& slot) {
  GpuExchange& single = single_[static_cast<size_t>(WorkOf(slot.request))];
  slot.exchange = rows == 1 && !single.busy ? &single : &slot.own;
  return *slot.exchange;
}

absl::StatusOr<GpuInput> GpuDevice::MakeInput(uint32_t rows, uint64_t result_bytes, GpuExchange& exchange) {
  HEARTH_CHECK(rows <= options_.max_rows);
  const uint64_t bytes = needs_.InputBytes(rows);
  uint8_t* const memory = exchange.input.Reserve(bytes);
  if (memory == nullptr || exchange.results.Reserve(result_bytes) == nullptr) return NoPinnedMemory();
  exchange.busy = true;
  return GpuInput(memory, scratch_->input.as<uint8_t>(), bytes);
}

void GpuDevice::CutRows(absl::Span<const RowPlace> rows, const GpuMixer& mixer, gpu::RowTile* tiles,
                        GpuMixRows& cut) const {
  const bool takes_prompts = mixer.TakesPrompts(exact_, *stream_);
  uint32_t tile_count = 0;
  std::vector<gpu::RowTile> prompt_tiles;
  for (uint32_t first = 0; first < rows.size();) {
    const bool prompt = takes_prompts && rows[first].prompt;
    const uint32_t most = prompt ? gpu::kPromptTileRows : mixer.TileRows();
    const auto follows = [&](uint32_t t) {
      return t < rows.size() && rows[t].sequence == rows[t - 1].sequence &&
             rows[t].position == rows[t - 1].position + 1 && (takes_prompts && rows[t].prompt) == prompt;
    };
    uint32_t count = 1;
    while (count < most && follows(first + count)) ++count;
    if (prompt) {
      prompt_tiles.push_back({first, count});
    } else {
      AddToBatch(rows, first, count, mixer.BatchRows(), tile_count, cut.batches);
      tiles[tile_count++] = {first - cut.batches.back().first, count};
    }
    first += count;
  }
  cut.first_prompt_tile = tile_count;
  cut.prompt_tiles = static_cast<uint32_t>(prompt_tiles.size());
  std::copy(prompt_tiles.begin(), prompt_tiles.end(), tiles + tile_count);
}

void GpuDevice::AddToBatch(absl::Span<const RowPlace> rows, uint32_t first, uint32_t count,
                           uint32_t batch_rows, uint32_t tile, std::vector<GpuMixRows::Batch>& batches) {
  if (batches.empty() || batches.back().first + batches.back().rows != first ||
      batches.back().rows + count > batch_rows) {
    batches.push_back({first, 0, tile, 0, 0, rows[first].position});
  }
  GpuMixRows::Batch& batch = batches.back();
  batch.rows += count;
  ++batch.tiles;
  batch.first_position = std::min(batch.first_position, rows[first].position);
  batch.last_position = std::max(batch.last_position, rows[first + count - 1].position);
}

GpuDevice::Places GpuDevice::TakePlaces(uint64_t step, absl::Span<const RowPlace> rows, GpuInput& input) {
  const auto count = static_cast<uint32_t>(rows.size());
  Places taken = {input.Take<gpu::GpuPlace>(count), input.Take<gpu::RowTile>(count), {}};
  for (uint32_t t = 0; t < count; ++t) taken.places.host[t] = {rows[t].sequence, rows[t].position};
  if (step_ != step) {
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
    const GpuInput::Part<float> part = input.Take<float>(table.size());
    std::copy(table.begin(), table.end(), part.host);
    taken.angles.back() = part.device;
  }
  return taken;
}

GpuMixRows GpuDevice::MixRowsOf(absl::Span<const RowPlace> rows, const Places& places,
                                const GpuMixer& mixer) const {
  GpuMixRows mix_rows;
  mix_rows.rows = rows;
  CutRows(rows, mixer, places.tiles.host, mix_rows);
  mix_rows.places = places.places.device;
  mix_rows.tiles = places.tiles.device;
  mix_rows.angles = AnglesOf(places, mixer);
  return mix_rows;
}

const float* GpuDevice::AnglesOf(const Places& places, const GpuMixer& mixer) {
  const std::optional<uint32_t> rope = mixer.layer().attention.rope;
  return rope ? places.angles[*rope] : nullptr;
}

absl::Status GpuDevice::Queue(const MixRequest& request, Slot& slot) {
  const uint32_t rows = static_cast<uint32_t>(request.rows.size());
  const auto& held = pieces(UnitKind::kHeads, request.layer);
  for (const auto& piece : held)
    HEARTH_RETURN_IF_ERROR(static_cast<GpuMixer&>(*piece).CheckRows(request.rows));
  const uint64_t sums = uint64_t{rows} * request.output_values;
  GpuExchange& exchange = ExchangeFor(rows, slot);
  HEARTH_ASSIGN_OR_RETURN(GpuInput input, MakeInput(rows, sums * sizeof(int64_t), exchange));
  input.TakeRows(request.x, rows, model_.n_embd, scratch_->x);
  const Places places = TakePlaces(request.step, request.rows, input);
  // The pieces of a layer have heads of the same kind.
  const GpuMixer& first = static_cast<GpuMixer&>(*held.front());
  const GpuMixRows mix_rows = MixRowsOf(request.rows, places, first);
  uint64_t touched = 0;
  for (const auto& piece : held) touched += static_cast<GpuMixer&>(*piece).BytesTouched(request.rows);
  const uint64_t key = GpuMixer::KeyOf(first.layer().attention, mix_rows);
  QueueOrReplay(
      rows == 1 && &exchange != &slot.own, key, exchange, recorded_[size_t{2} * request.layer], [&] {
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
    stream_->Clear(scratch_->sums.as<void>(),
                   uint64_t{rows.count} * first.spec().output_values() * sizeof(int64_t));
  }
  for (const auto& piece : held) {
    static_cast<GpuFfn&>(*piece).Run(rows, exact_, piece == held.front(), *scratch_, *stream_);
  }
}

void GpuDevice::CountFfn(uint32_t layer, const GpuFfn::Rows& rows) {
  MutexLock lock(&mutex_);
  for (const auto& piece : pieces(UnitKind::kNeurons, layer)) {
    const GpuFfn& ffn = static_cast<GpuFfn&>(*piece);
    const GpuFfn::Work work = ffn.WorkFor(rows);
    counters_.neurons_computed[layer] += work.neurons_computed;
    counters_.neurons_held[layer] += ffn.neurons() * rows.count;
    counters_.bytes_touched += work.bytes_touched;
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
  GpuExchange& exchange = ExchangeFor(rows, slot);
  HEARTH_ASSIGN_OR_RETURN(GpuInput input, MakeInput(rows, sums * sizeof(int64_t), exchange));
  input.TakeRows(request.x, rows, model_.n_embd, scratch_->x);
  std::vector<bool> predicted(rows, false);
  if (request.hidden != nullptr && needs_.predictor_rank > 0) {
    for (uint32_t t = 0; t < rows; ++t) predicted[t] = !std::isnan(request.hidden[size_t{t} * rank]);
    input.TakeRows(request.hidden, rows, rank, scratch_->hidden);
  }
  const GpuInput::Part<float> factors = input.Take<float>(chosen);
  const GpuInput::Part<uint32_t> ids = input.Take<uint32_t>(chosen);
  for (uint32_t b = 0, at = 0; b < blocks; ++b) {
    for (const ChosenRow& row : choices_.rows(b)) {
      factors.host[at] = row.weight;
      ids.host[at++] = row.row;
    }
  }
  const GpuFfn::Rows ffn_rows = {rows, choices_, factors.device, ids.device, offsets, predicted};
  // Which blocks a row of experts takes changes from token to token; a layer of one block is always the same.
  const bool steady = blocks == 1 && chosen == rows;
  const uint64_t key = predicted[0] ? 1 : 2;
  QueueOrReplay(rows == 1 && &exchange != &slot.own && steady, key, exchange,
                recorded_[size_t{2} * request.layer + 1], [&] {
                  input.CopyIn(*stream_);
                  QueueFfn(request.layer, ffn_rows);
                  stream_->CopyOut(exchange.results.data(), scratch_->sums.as<void>(),
                                   sums * sizeof(int64_t));
                });
  CountFfn(request.layer, ffn_rows);
  return absl::OkStatus();
}

absl::Status GpuDevice::Queue(const OutputRequest& request, Slot& slot) {
  const uint32_t rows = request.rows;
  uint64_t held = 0, touched = 0;
  for (const auto& piece : pieces(UnitKind::kOutput, 0)) {
    held += static_cast<GpuOutput&>(*piece).rows().matrix.rows;
    touched += static_cast<GpuOutput&>(*piece).rows().bytes();
  }
  GpuExchange& exchange = ExchangeFor(rows, slot);
  HEARTH_ASSIGN_OR_RETURN(GpuInput input, MakeInput(rows, uint64_t{rows} * held * sizeof(float), exchange));
  input.TakeRows(request.x, rows, model_.n_embd, scratch_->x);
  QueueOrReplay(rows == 1 && &exchange != &slot.own, 1, exchange, recorded_.back(), [&] {
    input.CopyIn(*stream_);
    float* to = reinterpret_cast<float*>(exchange.results.data());
    for (const auto& piece : pieces(UnitKind::kOutput, 0)) {
      const GpuLinear& linear = static_cast<GpuOutput&>(*piece).rows();
      gpu::ForEachPass(rows, [&](const gpu::TokenRows& tokens) {
        gpu::MatVecArgs args;
        args.products[0] = {linear.matrix, scratch_->logits.as<float>(), linear.matrix.rows,
                            linear.bias_values(), linear.scale};
        args.product_count = 1;
        args.x = scratch_->x.For(linear.matrix.type, exact_, rows, *stream_);
        args.tokens = tokens;
        for (uint32_t t = 0; t < tokens.count; ++t) args.tokens.out[t] = t;
        stream_->MatVec(args, exact_);
        const uint64_t values = uint64_t{tokens.count} * linear.matrix.rows;
        stream_->CopyOut(to, scratch_->logits.as<float>(), values * sizeof(float));
        to += values;
      });
    }
  });
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
