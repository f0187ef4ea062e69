#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/added_product.h"
#include "engine/kernel/fixed_point.h"
#include "engine/kernel/vector_ops.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/neuron/ffn_observer.h"
#include "engine/neuron/joined_groups.h"
#include "engine/neuron/row_choices.h"

namespace hearth {
namespace {

// Elementwise work on h is cut into pieces of this many values.
constexpr size_t kPiece = 1024;

// The groups of one block that this shard holds, joined: neurons one after another in the order of the
// groups.
struct DenseBlock {
  uint32_t block = 0;
  uint32_t neurons = 0;
  std::vector<uint32_t> ids;  // of the neurons within the block
  std::vector<uint32_t> group_ends;
  Matrix gate, up;                                      // (neurons, n_embd); gate is empty without gating
  Matrix down;                                          // (n_embd, neurons)
  std::vector<float> gate_bias, up_bias, neuron_scale;  // (neurons) or empty
  std::vector<float> down_bias;                         // (n_embd) or empty
  Matrix gate_adapter, up_adapter, down_adapter;        // (neurons, rank), (rank, neurons) or empty

  uint64_t bytes() const {
    return gate.bytes() + up.bytes() + down.bytes() + gate_adapter.bytes() + up_adapter.bytes() +
           down_adapter.bytes();
  }
};

absl::Status PackAdapter(const FfnLayerSpec& spec, const JoinedGroups& groups, ThreadPool& pool,
                         Arithmetic arithmetic, DenseBlock& block) {
  if (spec.gate_rank > 0) {
    HEARTH_ASSIGN_OR_RETURN(block.gate_adapter, groups.PackNeurons(BundlePart::kGateAdapter, TensorType::kF32,
                                                                   spec.gate_rank, pool, arithmetic));
  }
  if (spec.up_rank > 0) {
    HEARTH_ASSIGN_OR_RETURN(block.up_adapter, groups.PackNeurons(BundlePart::kUpAdapter, TensorType::kF32,
                                                                 spec.up_rank, pool, arithmetic));
  }
  if (spec.down_rank > 0) {
    HEARTH_ASSIGN_OR_RETURN(block.down_adapter, groups.PackOutputs(BundlePart::kDownAdapter, TensorType::kF32,
                                                                   spec.down_rank, pool, arithmetic));
  }
  return absl::OkStatus();
}

absl::StatusOr<DenseBlock> MakeBlock(const FfnLayerSpec& spec, absl::Span<const GroupWeights> weights,
                                     ThreadPool& pool, Arithmetic arithmetic) {
  const JoinedGroups groups(weights);
  DenseBlock block;
  block.block = groups.block();
  block.neurons = groups.ends().back();
  block.ids = groups.ids();
  block.group_ends = groups.ends();
  block.gate_bias = groups.Vector(BundlePart::kGateBias);
  block.up_bias = groups.Vector(BundlePart::kUpBias);
  block.neuron_scale = groups.Vector(BundlePart::kNeuronScale);
  block.down_bias = groups.Vector(BundlePart::kDownBias);
  if (spec.gate.present) {
    HEARTH_ASSIGN_OR_RETURN(block.gate, groups.PackNeurons(BundlePart::kGate, spec.gate_type(block.block),
                                                           spec.n_embd, pool, arithmetic));
  }
  HEARTH_ASSIGN_OR_RETURN(block.up, groups.PackNeurons(BundlePart::kUp, spec.up_type(block.block),
                                                       spec.n_embd, pool, arithmetic));
  HEARTH_ASSIGN_OR_RETURN(block.down,
                          groups.PackDown(spec.down_type(block.block), spec.n_embd, pool, arithmetic));
  HEARTH_RETURN_IF_ERROR(PackAdapter(spec, groups, pool, arithmetic, block));
  return block;
}

class DenseShard : public CpuShard {
 public:
  DenseShard(const FfnLayerSpec& spec, std::vector<DenseBlock> blocks)
      : spec_(spec), blocks_(std::move(blocks)) {
    for (const DenseBlock& block : blocks_) {
      weight_bytes_ += block.bytes();
      neurons_ += block.neurons;
    }
  }

  absl::StatusOr<ShardWork> Run(const FfnRequest& request, ThreadPool& pool,
                                absl::Span<int64_t> sums) override {
    ShardWork work;
    if (spec_.has_adapter() && spec_.hidden_values() > 0 && request.hidden == nullptr) {
      return absl::InvalidArgumentError("the values for the layer's LoRA adapter are missing");
    }
    choices_.Set(request, static_cast<uint32_t>(spec_.block_neurons.size()));
    for (const DenseBlock& block : blocks_) {
      const absl::Span<const ChosenRow> rows = choices_.rows(block.block);
      if (rows.empty()) continue;
      RunBlock(block, rows, request, pool, sums);
      work.neurons_computed += uint64_t{block.neurons} * rows.size();
      work.bytes_touched += block.bytes();
    }
    return work;
  }

  uint64_t weight_bytes() const override { return weight_bytes_; }
  uint64_t neurons() const override { return neurons_; }

 private:
  void RunBlock(const DenseBlock& block, absl::Span<const ChosenRow> rows, const FfnRequest& request,
                ThreadPool& pool, absl::Span<int64_t> sums) {
    input_.Set(ChosenInput(spec_, request, rows, gathered_x_), rows.size(), spec_.n_embd, spec_.n_embd);
    ComputeHidden(block, rows, request, pool);
    if (request.observer != nullptr) Show(block, rows, request);
    const bool all_rows = rows.size() == request.rows;
    int64_t* out = sums.data();
    if (!all_rows) {
      gathered_sums_.assign(rows.size() * spec_.output_values(), 0);
      out = gathered_sums_.data();
    }
    hidden_input_.Set(up_.data(), rows.size(), block.neurons, block.neurons);
    MatMulFixedPoint(pool, hidden_input_, block.down, block.group_ends, out, spec_.output_values());
    if (spec_.down_rank > 0) {
      MatMulFixedPoint(pool, hidden_input_, block.down_adapter, block.group_ends, out + spec_.n_embd,
                       spec_.output_values());
    }
    AddExtras(block, rows, out);
    if (!all_rows) ScatterSums(rows, sums);
  }

  // up_ = h, (rows, neurons), with every factor that `down` is linear in already applied.
  void ComputeHidden(const DenseBlock& block, absl::Span<const ChosenRow> rows, const FfnRequest& request,
                     ThreadPool& pool) {
    const size_t values = rows.size() * block.neurons;
    up_.resize(values);
    Product products[2] = {{&block.up, up_.data(), block.neurons}, {}};
    if (spec_.gate.present) {
      gate_.resize(values);
      products[1] = {&block.gate, gate_.data(), block.neurons};
    }
    MatMul(pool, input_, absl::MakeConstSpan(products, spec_.gate.present ? 2 : 1));
    if (spec_.has_adapter()) AddAdapter(block, rows, request, pool);

    squares_.assign(rows.size(), 0);
    if (spec_.normalize_hidden) {
      pool.ParallelFor(rows.size(), 1, [&](size_t begin, size_t end, int) {
        for (size_t i = begin; i < end; ++i) {
          ActivatePiece(block, i, 0, block.neurons);
          squares_[i] = SumOfSquares(block, i);
          FinishPiece(block, rows[i].weight, i, 0, block.neurons);
        }
      });
      return;
    }
    const size_t pieces = (block.neurons + kPiece - 1) / kPiece;
    pool.ParallelFor(rows.size() * pieces, 1, [&](size_t begin, size_t end, int) {
      for (size_t item = begin; item < end; ++item) {
        const size_t i = item / pieces;
        const size_t first = item % pieces * kPiece;
        const size_t count = std::min(kPiece, block.neurons - first);
        ActivatePiece(block, i, first, count);
        FinishPiece(block, rows[i].weight, i, first, count);
      }
    });
  }

  // gate_ and up_ += B (A x).
  void AddAdapter(const DenseBlock& block, absl::Span<const ChosenRow> rows, const FfnRequest& request,
                  ThreadPool& pool) {
    const size_t values = spec_.hidden_values();
    adapted_.resize(rows.size() * values);
    for (size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(request.hidden + rows[i].row * values, values, adapted_.data() + i * values);
    }
    added_.Add(pool, block.gate_adapter, adapted_.data(), rows.size(), values, gate_.data());
    added_.Add(pool, block.up_adapter, adapted_.data() + spec_.gate_rank, rows.size(), values, up_.data());
  }

  void Show(const DenseBlock& block, absl::Span<const ChosenRow> rows, const FfnRequest& request) const {
    for (size_t i = 0; i < rows.size(); ++i) {
      request.observer->OnHidden(request, block.block, rows[i].row, block.ids,
                                 up_.data() + i * block.neurons);
    }
  }

  void ActivatePiece(const DenseBlock& block, size_t i, size_t first, size_t count) {
    float* up = up_.data() + i * block.neurons + first;
    if (spec_.up_scale != 1) Scale(spec_.up_scale, count, up);
    if (!block.up_bias.empty()) Add(block.up_bias.data() + first, count, up);
    if (!spec_.gate.present) {
      Activate(spec_.activation, spec_.activation_parameters, up, count, up);
      return;
    }
    float* gate = gate_.data() + i * block.neurons + first;
    if (spec_.gate_scale != 1) Scale(spec_.gate_scale, count, gate);
    if (!block.gate_bias.empty()) Add(block.gate_bias.data() + first, count, gate);
    ActivateGated(spec_.activation, spec_.activation_parameters, spec_.relu_up, gate, up, count, up);
  }

  void FinishPiece(const DenseBlock& block, float weight, size_t i, size_t first, size_t count) {
    float* h = up_.data() + i * block.neurons + first;
    if (!block.neuron_scale.empty()) {
      for (size_t c = 0; c < count; ++c) h[c] *= block.neuron_scale[first + c];
    }
    const float factor = (spec_.weight_on_input ? 1.0f : weight) * spec_.down_scale;
    if (factor != 1) Scale(factor, count, h);
  }

  // sum(h^2) in fixed point, one float32 sum per group.
  int64_t SumOfSquares(const DenseBlock& block, size_t i) const {
    const float* h = up_.data() + i * block.neurons;
    int64_t total = 0;
    uint32_t begin = 0;
    for (uint32_t end : block.group_ends) {
      total = AddFixedPoint(total, ToFixedPoint(Dot(h + begin, h + begin, end - begin)));
      begin = end;
    }
    return total;
  }

  void AddExtras(const DenseBlock& block, absl::Span<const ChosenRow> rows, int64_t* out) const {
    for (size_t i = 0; i < rows.size(); ++i, out += spec_.output_values()) {
      const float weight = spec_.weight_on_input ? 1.0f : rows[i].weight;
      for (size_t c = 0; c < block.down_bias.size(); ++c) {
        out[c] = AddFixedPoint(out[c], ToFixedPoint(weight * block.down_bias[c]));
      }
      if (spec_.normalize_hidden) out[spec_.n_embd] = AddFixedPoint(out[spec_.n_embd], squares_[i]);
    }
  }

  void ScatterSums(absl::Span<const ChosenRow> rows, absl::Span<int64_t> sums) const {
    const size_t n = spec_.output_values();
    for (size_t i = 0; i < rows.size(); ++i) {
      int64_t* to = sums.data() + rows[i].row * n;
      const int64_t* from = gathered_sums_.data() + i * n;
      for (size_t c = 0; c < n; ++c) to[c] = AddFixedPoint(to[c], from[c]);
    }
  }

  const FfnLayerSpec spec_;
  std::vector<DenseBlock> blocks_;
  uint64_t weight_bytes_ = 0;
  uint64_t neurons_ = 0;

  // Scratch, reused from call to call.
  RowChoices choices_;
  Activations input_, hidden_input_;
  std::vector<float> gathered_x_;  // (rows, n_embd)
  std::vector<float> gate_, up_;   // (rows, neurons); up_ becomes h
  std::vector<float> adapted_;     // (rows, spec.hidden_values())
  AddedProduct added_;
  std::vector<int64_t> squares_;  // (rows)
  std::vector<int64_t> gathered_sums_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CpuShard>> MakeDenseShard(const FfnLayerSpec& spec,
                                                         std::vector<GroupWeights> groups, ThreadPool& pool,
                                                         Arithmetic arithmetic) {
  HEARTH_CHECK(!spec.neuron_major);
  std::vector<DenseBlock> blocks;
  HEARTH_RETURN_IF_ERROR(
      ForEachBlock(std::move(groups), [&](absl::Span<const GroupWeights> of_block) -> absl::Status {
        HEARTH_ASSIGN_OR_RETURN(DenseBlock block, MakeBlock(spec, of_block, pool, arithmetic));
        blocks.push_back(std::move(block));
        return absl::OkStatus();
      }));
  return std::make_unique<DenseShard>(spec, std::move(blocks));
}

}  // namespace hearth
