#ifndef HEARTH_TESTS_ENGINE_NEURON_FFN_FIXTURE_H_
#define HEARTH_TESTS_ENGINE_NEURON_FFN_FIXTURE_H_

#include <cmath>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "engine/neuron/bundle.h"
#include "engine/neuron/ffn_request.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/group_weights.h"
#include "engine/neuron/neuron_group.h"

namespace hearth {

// A spec for FfnFixture, which adds what is missing.
inline FfnLayerSpec SmallSpec() {
  FfnLayerSpec spec;
  spec.n_embd = 8;
  spec.gate.present = true;
  return spec;
}

// One block whose `down` has a type of its own.
inline FfnLayerSpec SpecWithDown(TensorType type, uint32_t n_embd, uint32_t neurons) {
  FfnLayerSpec spec;
  spec.n_embd = n_embd;
  spec.block_neurons = {neurons};
  spec.up.present = spec.down.present = true;
  spec.down.type = type;
  return spec;
}

// A feed-forward layer with random float32 weights in memory, and its result computed in double precision.
class FfnFixture {
 public:
  // Blocks of `neurons` each; `spec` has n_embd, the activation and the flags; matrices are added here.
  FfnFixture(FfnLayerSpec spec, uint32_t blocks, uint32_t neurons, uint64_t seed = 1)
      : spec_(std::move(spec)) {
    std::mt19937_64 random(seed);
    spec_.block_neurons.assign(blocks, neurons);
    spec_.up.present = spec_.down.present = true;
    for (uint32_t b = 0; b < blocks; ++b) {
      FfnBlockSource source;
      if (spec_.gate.present) source.gate.tensor = Make(spec_.n_embd, neurons, random);
      source.up.tensor = Make(spec_.n_embd, neurons, random);
      source.down.tensor =
          spec_.neuron_major ? Make(spec_.n_embd, neurons, random) : Make(neurons, spec_.n_embd, random);
      if (spec_.predictor_rank > 0) source.predictor.tensor = Make(spec_.predictor_rank, neurons, random);
      if (spec_.gate_bias) source.gate_bias.tensor = Make(neurons, 1, random);
      if (spec_.up_bias) source.up_bias.tensor = Make(neurons, 1, random);
      if (spec_.down_bias) source.down_bias.tensor = Make(spec_.n_embd, 1, random);
      if (spec_.normalize_hidden) source.neuron_scale.tensor = Make(neurons, 1, random);
      source_.blocks.push_back(source);
    }
  }

  const FfnLayerSpec& spec() const { return spec_; }
  const FfnLayerSource& source() const { return source_; }

  std::vector<uint8_t> Bundle(const NeuronGroup& group) const {
    return std::move(GroupWeights::FromFile(spec_, source_, group)).value().Load().bytes;
  }

  // y for one row and its choices; `keep(block, neuron)` decides which neurons count.
  template <class Keep>
  std::vector<double> Expected(const float* x, absl::Span<const BlockChoice> choices, Keep keep) const {
    std::vector<double> y(spec_.n_embd);
    for (const BlockChoice& choice : choices) {
      const FfnBlockSource& block = source_.blocks[choice.block];
      const double in = spec_.weight_on_input ? choice.weight : 1.0;
      const double out = spec_.weight_on_input ? 1.0 : choice.weight;
      for (uint32_t i = 0; i < spec_.block_neurons[choice.block]; ++i) {
        if (!keep(choice.block, i)) continue;
        const double h = Hidden(block, i, x, in) * out;
        for (uint32_t c = 0; c < spec_.n_embd; ++c) {
          y[c] += h * (spec_.neuron_major ? At(block.down, i, c) : At(block.down, c, i));
        }
      }
      if (spec_.down_bias) {
        for (uint32_t c = 0; c < spec_.n_embd; ++c) y[c] += out * At(block.down_bias, 0, c);
      }
    }
    return y;
  }

  double At(const WeightSlice& slice, uint64_t row, uint64_t col) const {
    float value;
    std::memcpy(&value, slice.tensor->data.data() + (row * slice.tensor->ne[0] + col) * sizeof(float),
                sizeof(float));
    return value;
  }

  // h of neuron i of a block, whose input is x times `scale`.
  double Hidden(const FfnBlockSource& block, uint32_t i, const float* x, double scale) const {
    const double up = Row(block.up, i, x, scale) + (spec_.up_bias ? At(block.up_bias, 0, i) : 0);
    if (!spec_.gate.present) return Apply(up);
    const double gate = Row(block.gate, i, x, scale) + (spec_.gate_bias ? At(block.gate_bias, 0, i) : 0);
    return Apply(gate) * (spec_.relu_up ? std::max(0.0, up) : up);
  }

 private:
  double Row(const WeightSlice& slice, uint64_t row, const float* x, double scale) const {
    double sum = 0;
    for (uint32_t c = 0; c < spec_.n_embd; ++c) sum += At(slice, row, c) * x[c] * scale;
    return sum;
  }

  double Apply(double v) const {
    switch (spec_.activation) {
      case Activation::kRelu:
        return std::max(0.0, v);
      case Activation::kReluSquared:
        return std::max(0.0, v) * std::max(0.0, v);
      default:
        return v / (1 + std::exp(-v));
    }
  }

  const GgufTensor* Make(uint64_t cols, uint64_t rows, std::mt19937_64& random) {
    std::vector<uint8_t>& bytes = storage_.emplace_back(cols * rows * sizeof(float));
    for (uint64_t i = 0; i < cols * rows; ++i) {
      const float value = static_cast<float>(static_cast<double>(random() >> 11) / (1ull << 52) - 1.0);
      std::memcpy(bytes.data() + i * sizeof(float), &value, sizeof(float));
    }
    GgufTensor& tensor = tensors_.emplace_back();
    tensor.ne = {cols, rows, 1, 1};
    tensor.dimensions = 2;
    tensor.data = bytes;
    return &tensor;
  }

  FfnLayerSpec spec_;
  FfnLayerSource source_;
  std::deque<std::vector<uint8_t>> storage_;
  std::deque<GgufTensor> tensors_;
};

inline std::vector<float> RandomRows(size_t values, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> x(values);
  for (float& v : x) v = static_cast<float>(static_cast<double>(random() >> 11) / (1ull << 52) - 1.0);
  return x;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_NEURON_FFN_FIXTURE_H_
