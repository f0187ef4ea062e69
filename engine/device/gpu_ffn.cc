#include "engine/device/gpu_ffn.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"
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
    for (size_t first = 0; first < chosen.size(); first += gpu::kMaxTokens) {
      RunTokens(block, chosen, first, rows, exact, overwrite, scratch, stream);
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

// Gate, up and predictor of up to kMaxTokens rows, the activation, and the sums over neurons.
void GpuFfn::RunTokens(const Block& block, absl::Span<const ChosenRow> rows, size_t first, const Rows& all,
                       bool exact, bool overwrite, GpuScratch& scratch, gpu::Gpu& stream) const {
  const uint32_t count = static_cast<uint32_t>(std::min<size_t>(gpu::kMaxTokens, rows.size() - first));
  const uint32_t n = spec_.n_embd, neurons = block.neurons;
  const uint32_t offset = all.offsets[block.block] + static_cast<uint32_t>(first);
  gpu::TokenRows tokens;  // of the request's rows, to rows 0, 1, ... of the buffers here
  uint32_t keep_all = 0;
  tokens.count = count;
  for (uint32_t t = 0; t < count; ++t) {
    tokens.in[t] = rows[first + t].row;
    tokens.out[t] = t;
    if (!all.predicted[tokens.in[t]]) keep_all |= 1u << t;
  }
  GpuActivations* input = &scratch.x;
  gpu::TokenRows input_tokens = tokens;
  if (spec_.weight_on_input) {
    input = &scratch.scaled_x;
    input->Reset();
    stream.Gather({scratch.x.values(), scratch.x.cols(), all.row_ids + offset, all.factors + offset, count, n,
                   input->values(), input->cols()});
    for (uint32_t t = 0; t < count; ++t) input_tokens.in[t] = t;
  }
  const uint32_t input_rows = input == &scratch.x ? all.count : count;
  const auto rounded = [&](gpu::GpuType type) { return input->For(type, exact, input_rows, stream); };

  // Which neurons are looked at.
  gpu::RowMask mask;
  if (!block.predictor.empty() && keep_all != (1u << count) - 1) {
    gpu::MatVecArgs scores;
    scores.products[0] = {block.predictor.matrix, scratch.scores.as<float>(), neurons, nullptr, 1};
    scores.product_count = 1;
    scores.x = scratch.hidden.For(block.predictor.matrix.type, exact, all.count, stream);
    scores.tokens = tokens;
    stream.MatVec(scores, exact);
    mask.values = scratch.scores.as<float>();
    mask.stride = neurons;
    mask.least = spec_.sparse_threshold;
    mask.keep_all = keep_all;
  }

  const bool gated = spec_.gate.present;
  const bool skips_up = gated && mode_ != SparsityMode::kDense && spec_.is_relu_family();
  const auto product = [&](const GpuLinear& weights, GpuBuffer& out) {
    return gpu::ProductOut{weights.matrix, out.as<float>(), neurons, weights.bias_values(), weights.scale};
  };
  gpu::MatVecArgs first_product;
  first_product.tokens = input_tokens;
  first_product.mask = mask;
  first_product.products[0] = gated ? product(block.gate, scratch.gate) : product(block.up, scratch.up);
  first_product.product_count = 1;
  const gpu::GpuType first_type = first_product.products[0].weights.type;
  first_product.x = rounded(first_type);
  const bool together = gated && !skips_up && block.up.matrix.type == first_type;
  if (together) {
    first_product.products[1] = product(block.up, scratch.up);
    first_product.product_count = 2;
  }
  stream.MatVec(first_product, exact);
  if (gated && !together) {
    gpu::MatVecArgs second;
    second.tokens = input_tokens;
    second.mask = mask;
    if (skips_up) {
      second.mask = {};
      second.mask.values = scratch.gate.as<float>();
      second.mask.stride = neurons;
      second.mask.above = true;
    }
    second.products[0] = product(block.up, scratch.up);
    second.product_count = 1;
    second.x = rounded(block.up.matrix.type);
    stream.MatVec(second, exact);
  }

  gpu::ActivateArgs activate;
  activate.gate = gated ? scratch.gate.as<float>() : nullptr;
  activate.up = scratch.up.as<float>();
  activate.stride = neurons;
  activate.activation = ActivationOf(spec_.activation);
  activate.alpha = spec_.activation_parameters.alpha;
  activate.limit = spec_.activation_parameters.limit;
  activate.xielu_alpha_p = spec_.activation_parameters.xielu_alpha_p;
  activate.xielu_alpha_n = spec_.activation_parameters.xielu_alpha_n;
  activate.xielu_beta = spec_.activation_parameters.xielu_beta;
  activate.xielu_eps = spec_.activation_parameters.xielu_eps;
  activate.relu_up = spec_.relu_up;
  activate.factors = FactorsOf(all, offset);
  activate.factor = spec_.down_scale;
  activate.neurons = neurons;
  activate.rows = count;
  const bool by_neuron = spec_.neuron_major;
  activate.h = scratch.h.RoundedBy(block.down.matrix.type, exact || by_neuron);
  activate.h.cols = by_neuron ? neurons : block.down.matrix.cols;
  activate.block_cols = gpu::ActivationCols(block.down.matrix.type);
  stream.Activate(activate);

  gpu::TokenRows results = tokens;
  for (uint32_t t = 0; t < count; ++t) {
    results.in[t] = t;
    results.out[t] = tokens.in[t];
  }
  int64_t* const sums = scratch.sums.as<int64_t>();
  if (by_neuron) {
    stream.NeuronSum({block.down.matrix, activate.h, results, sums, spec_.output_values()});
  } else {
    stream.FixedMatVec({block.down.matrix, activate.h, results, sums, spec_.output_values(), overwrite,
                        mode_ != SparsityMode::kDense},
                       exact);
  }
}

}  // namespace hearth
