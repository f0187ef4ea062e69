#include "engine/device/gpu_ffn.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/device/gpu_products.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/neuron/joined_groups.h"

namespace hearth {
namespace {

constexpr uint32_t kSlice = gpu::kUnitCols;

uint32_t Filled(size_t neurons) { return static_cast<uint32_t>((neurons + kSlice - 1) / kSlice * kSlice); }

gpu::GpuActivation ActivationOf(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return gpu::GpuActivation::kSilu;
    case Activation::kGelu:
      return gpu::GpuActivation::kGelu;
    case Activation::kRelu:
      return gpu::GpuActivation::kRelu;
    case Activation::kReluSquared:
      return gpu::GpuActivation::kReluSquared;
    case Activation::kXielu:
      return gpu::GpuActivation::kXielu;
    case Activation::kSwigluOai:
      return gpu::GpuActivation::kSwigluOai;
  }
  return gpu::GpuActivation::kSilu;
}

// Where each group begins among a block's neurons as a GPU has them.
std::vector<uint32_t> StartsOf(absl::Span<const GroupWeights> groups) {
  std::vector<uint32_t> starts = {0};
  for (const GroupWeights& group : groups) {
    starts.push_back(starts.back() + Filled(group.group().neurons.size()));
  }
  return starts;
}

// Rows [first, first + count) of a part with a row per neuron; those that fill up are zeros.
void CopyNeurons(absl::Span<const GroupWeights> groups, const std::vector<uint32_t>& starts, BundlePart part,
                 size_t row_bytes, size_t first, size_t count, uint8_t* out) {
  std::fill_n(out, count * row_bytes, uint8_t{0});
  size_t g = static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), first) - starts.begin()) - 1;
  for (const size_t end = first + count; g < groups.size() && starts[g] < end; ++g) {
    const size_t begin = std::max<size_t>(first, starts[g]);
    const size_t last = std::min<size_t>(end, starts[g] + groups[g].group().neurons.size());
    if (begin >= last) continue;
    const BundleEntry* entry = groups[g].layout().Find(part);
    HEARTH_CHECK(entry != nullptr && entry->bytes == entry->rows * row_bytes);
    groups[g].CopyRows(*entry, begin - starts[g], last - begin, out + (begin - first) * row_bytes, row_bytes);
  }
}

// Rows of `down` stored by output: the groups' columns side by side, filled up.
void CopyOutputs(absl::Span<const GroupWeights> groups, TensorType type, size_t row_bytes, size_t first,
                 size_t count, uint8_t* out) {
  const TypeInfo& info = GetTypeInfo(type);
  std::fill_n(out, count * row_bytes, uint8_t{0});
  size_t offset = 0;
  for (const GroupWeights& group : groups) {
    const BundleEntry* down = group.layout().Find(BundlePart::kDown);
    group.CopyRows(*down, first, count, out + offset, row_bytes);
    offset += Filled(group.group().neurons.size()) / info.block_values * info.block_bytes;
  }
}

// The values of a float32 part for a block's neurons as a GPU has them; empty where there are none.
std::vector<float> NeuronVector(absl::Span<const GroupWeights> groups, const std::vector<uint32_t>& starts,
                                BundlePart part) {
  if (groups[0].layout().Find(part) == nullptr) return {};
  std::vector<float> values(starts.back());
  for (size_t g = 0; g < groups.size(); ++g) {
    const BundleEntry* entry = groups[g].layout().Find(part);
    groups[g].CopyRows(*entry, 0, 1, reinterpret_cast<uint8_t*>(values.data() + starts[g]), 0);
  }
  return values;
}

}  // namespace

absl::Status GpuFfn::CanHold(const FfnLayerSpec& spec) {
  if (spec.normalize_hidden) {
    return absl::UnimplementedError("GPUs cannot normalise the hidden values of a feed-forward layer yet");
  }
  if (spec.has_adapter()) return absl::UnimplementedError("GPUs cannot compute LoRA adapters yet");
  return absl::OkStatus();
}

GpuFfn::GpuFfn(const FfnLayerSpec& spec, SparsityMode mode, std::vector<uint32_t> groups)
    : UnitPiece(std::move(groups)), spec_(spec), mode_(LayerSparsity(spec, mode)) {}

absl::StatusOr<std::shared_ptr<GpuFfn>> GpuFfn::Load(const FfnLayerSpec& spec, SparsityMode mode,
                                                     std::vector<uint32_t> groups,
                                                     std::vector<GroupWeights> weights,
                                                     GpuUploader& uploader) {
  HEARTH_RETURN_IF_ERROR(CanHold(spec));
  std::shared_ptr<GpuFfn> ffn(new GpuFfn(spec, mode, std::move(groups)));
  HEARTH_RETURN_IF_ERROR(
      ForEachBlock(std::move(weights), [&](absl::Span<const GroupWeights> of_block) -> absl::Status {
        HEARTH_ASSIGN_OR_RETURN(Block block, ffn->LoadBlock(of_block, uploader));
        ffn->weight_bytes_ += block.bytes();
        ffn->neurons_ += block.held;
        ffn->blocks_.push_back(std::move(block));
        return absl::OkStatus();
      }));
  return ffn;
}

absl::StatusOr<GpuFfn::Block> GpuFfn::LoadBlock(absl::Span<const GroupWeights> groups,
                                                GpuUploader& uploader) const {
  const std::vector<uint32_t> starts = StartsOf(groups);
  Block block;
  block.block = groups[0].group().block;
  block.neurons = starts.back();
  for (const GroupWeights& group : groups) block.held += static_cast<uint32_t>(group.group().neurons.size());
  const auto load = [&](BundlePart part, TensorType type, uint32_t cols) -> absl::StatusOr<GpuLinear> {
    HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
    return uploader.Rows(type, block.neurons, cols, [&](size_t first, size_t count, uint8_t* out) {
      CopyNeurons(groups, starts, part, row_bytes, first, count, out);
    });
  };
  const uint32_t b = block.block, n = spec_.n_embd;
  if (spec_.gate.present) {
    HEARTH_ASSIGN_OR_RETURN(block.gate, load(BundlePart::kGate, spec_.gate_type(b), n));
    HEARTH_ASSIGN_OR_RETURN(block.gate.bias,
                            uploader.Upload(NeuronVector(groups, starts, BundlePart::kGateBias)));
    block.gate.scale = spec_.gate_scale;
  }
  HEARTH_ASSIGN_OR_RETURN(block.up, load(BundlePart::kUp, spec_.up_type(b), n));
  HEARTH_ASSIGN_OR_RETURN(block.up.bias, uploader.Upload(NeuronVector(groups, starts, BundlePart::kUpBias)));
  block.up.scale = spec_.up_scale;
  if (spec_.neuron_major) {
    HEARTH_ASSIGN_OR_RETURN(block.down, load(BundlePart::kDown, spec_.down_type(b), n));
  } else {
    const TensorType type = spec_.down_type(b);
    HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, block.neurons));
    HEARTH_ASSIGN_OR_RETURN(
        block.down, uploader.Rows(type, n, block.neurons, [&](size_t first, size_t count, uint8_t* out) {
          CopyOutputs(groups, type, row_bytes, first, count, out);
        }));
  }
  if (mode_ == SparsityMode::kPredicted && groups[0].layout().Find(BundlePart::kPredictor) != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(block.predictor,
                            load(BundlePart::kPredictor, spec_.predictor_type, spec_.predictor_rank));
  }
  const JoinedGroups joined(groups);
  HEARTH_ASSIGN_OR_RETURN(block.down_bias, uploader.Upload(joined.Vector(BundlePart::kDownBias)));
  return block;
}

void GpuFfn::AddNeeds(GpuNeeds& needs) const {
  for (const Block& block : blocks_) needs.neurons = std::max(needs.neurons, block.neurons);
  if (mode_ == SparsityMode::kPredicted) {
    needs.predictor_rank = std::max(needs.predictor_rank, spec_.predictor_rank);
  }
  needs.output_values = std::max(needs.output_values, spec_.output_values());
  needs.blocks_per_row =
      std::max<uint32_t>(needs.blocks_per_row, static_cast<uint32_t>(spec_.block_neurons.size()));
}

GpuFfn::Work GpuFfn::WorkFor(const Rows& rows) const {
  Work work;
  for (const Block& block : blocks_) {
    const uint64_t chosen = rows.choices.rows(block.block).size();
    if (chosen == 0) continue;
    work.neurons_computed += block.held * chosen;
    work.bytes_touched += block.bytes();
  }
  return work;
}

bool GpuFfn::Overwrites(const Rows& rows) const {
  return !spec_.neuron_major && blocks_.size() == 1 &&
         rows.choices.rows(blocks_[0].block).size() == rows.count;
}

void GpuFfn::Run(const Rows& rows, bool exact, bool first_piece, GpuScratch& scratch,
                 gpu::Gpu& stream) const {
  const bool overwrite = first_piece && Overwrites(rows);
  for (const Block& block : blocks_) {
    const absl::Span<const ChosenRow> chosen = rows.choices.rows(block.block);
    for (uint32_t first = 0; first < chosen.size();) {
      const Pass pass = PassFrom(block, chosen, first, rows, exact, scratch, stream);
      RunPass(block, pass, rows, exact, overwrite, scratch, stream);
      first += pass.count;
    }
    if (chosen.empty()) continue;
    if (block.down_bias.bytes() > 0) {
      const uint32_t offset = rows.offsets[block.block];
      stream.AddBias({block.down_bias.as<float>(), FactorsOf(rows, offset),
                      rows.row_ids == nullptr ? nullptr : rows.row_ids + offset,
                      static_cast<uint32_t>(chosen.size()), spec_.n_embd, scratch.sums.as<int64_t>(),
                      spec_.output_values()});
    }
  }
}

// With the weight on the input the result has no factor.
const float* GpuFfn::FactorsOf(const Rows& rows, uint32_t offset) const {
  return rows.factors == nullptr || spec_.weight_on_input ? nullptr : rows.factors + offset;
}

GpuFfn::Pass GpuFfn::PassFrom(const Block& block, absl::Span<const ChosenRow> rows, uint32_t first,
                              const Rows& all, bool exact, const GpuScratch& scratch,
                              const gpu::Gpu& stream) const {
  const auto masked = [&](uint32_t t) { return !block.predictor.empty() && all.predicted[rows[t].row]; };
  Pass pass;
  pass.offset = all.offsets[block.block] + first;
  const uint32_t last = static_cast<uint32_t>(rows.size());
  uint32_t same = 1;  // rows of one kind
  while (first + same < last && same < scratch.pass_rows && masked(first + same) == masked(first)) ++same;
  const bool has_tiles = (block.gate.empty() || InTiles(block.gate.matrix, same, exact, stream)) &&
                         InTiles(block.up.matrix, same, exact, stream) &&
                         (spec_.neuron_major || InTiles(block.down.matrix, same, exact, stream));
  pass.tiled = has_tiles && !masked(first) && !spec_.weight_on_input;
  pass.count = pass.tiled ? same : std::min(same, gpu::kMaxTokens);
  pass.in.first = rows[first].row;
  if (all.row_ids != nullptr) pass.in.ids = all.row_ids + pass.offset;
  if (pass.tiled) return pass;
  pass.tokens.count = pass.count;
  for (uint32_t t = 0; t < pass.count; ++t) {
    pass.tokens.in[t] = rows[first + t].row;
    pass.tokens.out[t] = t;
  }
  pass.masked = masked(first);
  return pass;
}

void GpuFfn::Multiply(absl::Span<const gpu::ProductOut> products, const gpu::GpuRows& x, const Pass& pass,
                      const gpu::RowMask& mask, bool exact, gpu::Gpu& stream) {
  if (pass.tiled) {
    gpu::TileProductArgs args;
    SetProducts(products, x, args);
    args.count = pass.count;
    args.in = pass.in;
    stream.TileProducts(args);
    return;
  }
  gpu::MatVecArgs args;
  SetProducts(products, x, args);
  args.tokens = pass.tokens;
  args.mask = mask;
  stream.MatVec(args, exact);
}

// Gate, up and predictor of a pass, the activation, and the sums over neurons.
void GpuFfn::RunPass(const Block& block, Pass pass, const Rows& all, bool exact, bool overwrite,
                     GpuScratch& scratch, gpu::Gpu& stream) const {
  const uint32_t n = spec_.n_embd, neurons = block.neurons;
  const gpu::RowMask mask = PredictedMask(block, pass, all, exact, scratch, stream);
  GpuActivations* input = &scratch.x;
  uint32_t input_rows = all.count;
  const Pass of_request = pass;
  if (spec_.weight_on_input) {
    input = &scratch.scaled_x;
    input->Reset();
    stream.Gather({scratch.x.values(), scratch.x.cols(), all.row_ids + pass.offset, all.factors + pass.offset,
                   pass.count, n, input->values(), input->cols()});
    input_rows = pass.count;
    for (uint32_t t = 0; t < pass.count; ++t) pass.tokens.in[t] = t;
  }
  const auto rounded = [&](gpu::GpuType type) { return input->For(type, exact, input_rows, stream); };
  const auto product = [&](const GpuLinear& weights, GpuBuffer& out) {
    return gpu::ProductOut{weights.matrix, out.as<float>(), neurons, weights.bias_values(), weights.scale};
  };
  const bool gated = spec_.gate.present;
  absl::InlinedVector<gpu::ProductOut, gpu::kMaxProducts> products;
  if (gated) products.push_back(product(block.gate, scratch.gate));
  gpu::RowMask up_mask = mask;
  // Without tiles, `up` of neurons whose gate is silent is left out.
  const bool skips_up = gated && !pass.tiled && mode_ != SparsityMode::kDense && spec_.is_relu_family();
  if (skips_up) up_mask = {scratch.gate.as<float>(), neurons, 0, true};
  if (gated && (skips_up || block.up.matrix.type != block.gate.matrix.type)) {
    Multiply(products, rounded(block.gate.matrix.type), pass, mask, exact, stream);
    products.clear();
  }
  products.push_back(product(block.up, scratch.up));
  Multiply(products, rounded(block.up.matrix.type), pass, up_mask, exact, stream);
  Activate(block, pass, all, exact, scratch, stream);
  SumNeurons(block, of_request, exact, overwrite, scratch, stream);
}

// Which neurons a pass's rows look at: all of them, or those that the predictor names.
gpu::RowMask GpuFfn::PredictedMask(const Block& block, const Pass& pass, const Rows& all, bool exact,
                                   GpuScratch& scratch, gpu::Gpu& stream) const {
  gpu::RowMask mask;
  if (!pass.masked) return mask;
  const gpu::GpuMatrix& predictor = block.predictor.matrix;
  const gpu::ProductOut scores = {predictor, scratch.scores.as<float>(), block.neurons, nullptr, 1};
  Multiply({&scores, 1}, scratch.hidden.For(predictor.type, exact, all.count, stream), pass, {}, exact,
           stream);
  mask.values = scratch.scores.as<float>();
  mask.stride = block.neurons;
  mask.least = spec_.sparse_threshold;
  return mask;
}

void GpuFfn::Activate(const Block& block, const Pass& pass, const Rows& all, bool exact, GpuScratch& scratch,
                      gpu::Gpu& stream) const {
  gpu::ActivateArgs args;
  args.gate = spec_.gate.present ? scratch.gate.as<float>() : nullptr;
  args.up = scratch.up.as<float>();
  args.stride = block.neurons;
  args.activation = ActivationOf(spec_.activation);
  args.alpha = spec_.activation_parameters.alpha;
  args.limit = spec_.activation_parameters.limit;
  args.xielu_alpha_p = spec_.activation_parameters.xielu_alpha_p;
  args.xielu_alpha_n = spec_.activation_parameters.xielu_alpha_n;
  args.xielu_beta = spec_.activation_parameters.xielu_beta;
  args.xielu_eps = spec_.activation_parameters.xielu_eps;
  args.relu_up = spec_.relu_up;
  args.factors = FactorsOf(all, pass.offset);
  args.factor = spec_.down_scale;
  args.neurons = block.neurons;
  args.rows = pass.count;
  args.h = HiddenOf(block, exact, scratch);
  args.block_cols = gpu::ActivationCols(block.down.matrix.type);
  stream.Activate(args);
}

// The hidden values of a pass, rows 0, 1, ...
gpu::GpuRows GpuFfn::HiddenOf(const Block& block, bool exact, const GpuScratch& scratch) const {
  gpu::GpuRows h = scratch.h.RoundedBy(block.down.matrix.type, exact || spec_.neuron_major);
  h.cols = spec_.neuron_major ? block.neurons : block.down.matrix.cols;
  return h;
}

void GpuFfn::SumNeurons(const Block& block, const Pass& pass, bool exact, bool overwrite, GpuScratch& scratch,
                        gpu::Gpu& stream) const {
  int64_t* const sums = scratch.sums.as<int64_t>();
  const uint32_t stride = spec_.output_values();
  const gpu::GpuRows h = HiddenOf(block, exact, scratch);
  if (pass.tiled && !spec_.neuron_major) {
    stream.FixedTileProducts({block.down.matrix, h, pass.count, {}, pass.in, sums, stride, overwrite});
    return;
  }
  if (spec_.neuron_major) {
    stream.NeuronSum({block.down.matrix, h, pass.count, pass.in, sums, stride});
    return;
  }
  gpu::TokenRows results = pass.tokens;
  std::swap(results.in, results.out);
  stream.FixedMatVec({block.down.matrix, h, results, sums, stride, overwrite, mode_ != SparsityMode::kDense},
                     exact);
}

}  // namespace hearth
