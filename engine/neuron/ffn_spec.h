#ifndef HEARTH_ENGINE_NEURON_FFN_SPEC_H_
#define HEARTH_ENGINE_NEURON_FFN_SPEC_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/file/gguf.h"
#include "engine/kernel/vector_ops.h"
#include "engine/quant/types.h"

namespace hearth {

// How much of an FFN is computed. See DESIGN.md, "Sparsity".
enum class SparsityMode {
  kDense,      // every neuron
  kExact,      // the gate of every neuron, up and down of those that fire (ReLU family)
  kPredicted,  // only the neurons that the predictor keeps
};
std::string_view SparsityModeName(SparsityMode mode);

// What one matrix of a neuron looks like in memory; type and whether it is there at all.
struct NeuronMatrix {
  bool present = false;
  TensorType type = TensorType::kF32;
};

// The feed-forward network of one layer, as data: enough for a device to compute its share without the model
// file.
//
// It consists of blocks: a dense layer is one block, a MoE layer one block per expert plus one per shared
// expert. For each row of a batch the leader names the blocks that apply and their weights w:
//   y = sum over chosen blocks b of w_b * (down_b h_b + down_bias_b),  h_b = f(gate_b x + gate_bias_b) *
//   (up_b x + up_bias_b)
// without gate: h_b = f(up_b x + up_bias_b). With weight_on_input x is multiplied by w_b instead of the
// result. Neuron i of a block is row i of gate and up, column i of down; `down` is stored by output row, as
// GGUF files do, or with neuron_major by neuron (PowerInfer's ffn_down_t).
struct FfnLayerSpec {
  uint32_t n_embd = 0;
  std::vector<uint32_t> block_neurons;  // neurons of each block

  Activation activation = Activation::kSilu;
  ActivationParameters activation_parameters;
  bool relu_up = false;  // bamboo: ReLU on up too
  bool weight_on_input = false;
  // bitnet: y is divided by sqrt(mean(h^2) + epsilon) over all neurons of the block; h is multiplied by a
  // weight per neuron (role kNeuronScale). One block only; devices return sum(h^2) as one more output value.
  bool normalize_hidden = false;
  float normalize_epsilon = 0;
  // Constant factors on the results of the matrices (bitnet's per-tensor scales), 1 elsewhere.
  float gate_scale = 1, up_scale = 1, down_scale = 1;

  NeuronMatrix gate, up, down;  // up is always present
  // The last block, where it is a shared expert, may be stored in types of its own: quantisers choose by
  // width.
  bool shared_types = false;
  TensorType shared_gate_type = TensorType::kF32;
  TensorType shared_up_type = TensorType::kF32;
  TensorType shared_down_type = TensorType::kF32;
  bool neuron_major = false;
  bool gate_bias = false, up_bias = false, down_bias = false;

  // Predictor: a neuron is kept iff fc2_i . hidden >= threshold, hidden = relu(fc1 . p) comes from the
  // leader.
  uint32_t predictor_rank = 0;  // 0: no predictor
  TensorType predictor_type = TensorType::kF32;
  float sparse_threshold = 0;

  // LoRA adapter, of a layer of one block and without a predictor: W x + B (A x) in place of W x. A x comes
  // from the leader for gate and up, whose rows of B travel with their neurons; columns of A do for `down`,
  // of which devices return A h. Its matrices are float32. 0: none.
  uint32_t gate_rank = 0, up_rank = 0, down_rank = 0;

  bool has_adapter() const { return gate_rank + up_rank + down_rank > 0; }
  // Values a device gets per row beside x: the predictor's hidden ones, or A x of gate, then of up.
  uint32_t hidden_values() const { return has_adapter() ? gate_rank + up_rank : predictor_rank; }
  // Values a device returns per row: n_embd, sum(h^2) with normalize_hidden, A h of the adapter of `down`.
  uint32_t output_values() const { return n_embd + (normalize_hidden ? 1 : 0) + down_rank; }
  bool is_relu_family() const {
    return activation == Activation::kRelu || activation == Activation::kReluSquared;
  }
  bool has_shared_types(uint32_t block) const { return shared_types && block + 1 == block_neurons.size(); }
  TensorType gate_type(uint32_t block) const {
    return has_shared_types(block) ? shared_gate_type : gate.type;
  }
  TensorType up_type(uint32_t block) const { return has_shared_types(block) ? shared_up_type : up.type; }
  TensorType down_type(uint32_t block) const {
    return has_shared_types(block) ? shared_down_type : down.type;
  }
  // Neurons of a block must be placed in runs of this many: the columns of `down` that one quantised block
  // packs.
  uint32_t neuron_alignment(uint32_t block = 0) const {
    return neuron_major || !down.present ? 1 : GetTypeInfo(down_type(block)).block_values;
  }
};

// The one place where a layer that a file or a peer describes is checked: everything behind it relies on
// this. OK means that every count and type is one that devices compute, that all rows divide into the blocks
// of their types, that sizes of one block cannot overflow 64 bits and that constants are finite numbers.
// INVALID_ARGUMENT names what cannot be, UNIMPLEMENTED a combination that no model has and no device
// computes.
absl::Status CheckFfnSpec(const FfnLayerSpec& spec);

// Rows of a tensor that hold one matrix: files may fuse gate and up, or stack experts.
struct WeightSlice {
  const GgufTensor* tensor = nullptr;  // null: absent
  uint64_t first_row = 0;
};

// Where the parts of one block lie in the model file. Column c of `down` is neuron c (or row c when
// neuron_major).
struct FfnBlockSource {
  WeightSlice gate, up, down;
  WeightSlice predictor;  // fc2
  // Of an adapter: B of gate and up, A of down.
  WeightSlice gate_adapter, up_adapter, down_adapter;
  // Vectors, float32 (or converted): first_row counts values here.
  WeightSlice gate_bias, up_bias, down_bias, neuron_scale;
  // Of a packed file: where gate, up and `down` lie, whose tensors have no data then (`down`, where it is not
  // in the records, has).
  const PackedBlock* packed = nullptr;
};

struct FfnLayerSource {
  std::vector<FfnBlockSource> blocks;  // as FfnLayerSpec::block_neurons
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_FFN_SPEC_H_
