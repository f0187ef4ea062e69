// Any description of a feed-forward layer, as a file or a coordinator may give it, is refused or can be
// computed with any weights.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/neuron/ffn_spec.h"

namespace hearth {
namespace {

constexpr uint64_t kMaxBytes = 1 << 20;
constexpr uint32_t kRows = 2;

// Takes values from the input, zeros at its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  template <class T>
  T Take() {
    T value{};
    const size_t count = std::min(sizeof(T), size_);
    if (count > 0) std::memcpy(&value, data_, count);
    data_ += count;
    size_ -= count;
    return value;
  }
  // Mostly small, now and then anything.
  uint32_t TakeSize() {
    const uint8_t kind = Take<uint8_t>();
    return kind < 200 ? kind % 10 * 32 : kind < 240 ? Take<uint8_t>() : Take<uint32_t>();
  }
  bool TakeBool() { return Take<uint8_t>() % 2 != 0; }
  TensorType TakeType() {
    const uint8_t number = Take<uint8_t>();
    return number < 250 ? AllTypes()[number % AllTypes().size()].type : static_cast<TensorType>(number);
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

FfnLayerSpec TakeSpec(Input& input) {
  FfnLayerSpec spec;
  spec.n_embd = input.TakeSize();
  spec.block_neurons.resize(input.Take<uint8_t>() % 5);
  for (uint32_t& neurons : spec.block_neurons) neurons = input.TakeSize();
  spec.activation = static_cast<Activation>(input.Take<uint8_t>() % 7);
  spec.activation_parameters = input.Take<ActivationParameters>();
  for (float* scale : {&spec.gate_scale, &spec.up_scale, &spec.down_scale, &spec.normalize_epsilon,
                       &spec.sparse_threshold}) {
    if (input.TakeBool()) *scale = input.Take<float>();
  }
  for (bool* flag : {&spec.relu_up, &spec.weight_on_input, &spec.normalize_hidden, &spec.neuron_major,
                     &spec.gate_bias, &spec.up_bias, &spec.down_bias, &spec.shared_types}) {
    *flag = input.TakeBool();
  }
  for (NeuronMatrix* matrix : {&spec.gate, &spec.up, &spec.down})
    *matrix = {input.TakeBool(), input.TakeType()};
  spec.shared_gate_type = input.TakeType();
  spec.shared_up_type = input.TakeType();
  spec.shared_down_type = input.TakeType();
  if (input.TakeBool()) spec.predictor_rank = input.TakeSize();
  spec.predictor_type = input.TakeType();
  return spec;
}

// The groups with weights from the input; empty where they are too large to be tried.
std::vector<GroupWeights> TakeWeights(const FfnLayerSpec& spec, Input& input) {
  std::vector<GroupWeights> weights;
  uint64_t total = 0;
  for (const uint32_t neurons : spec.block_neurons)
    total += uint64_t{neurons} * (spec.n_embd + spec.predictor_rank);
  if (total > kMaxBytes) return weights;
  for (const NeuronGroup& group : MakeNeuronGroups(spec, {})) {
    std::vector<uint8_t> bundle(MakeBundleLayout(spec, group).value().bytes, input.Take<uint8_t>());
    for (size_t i = 0; i < bundle.size(); i += 7) bundle[i] = input.Take<uint8_t>();
    weights.push_back(GroupWeights::FromBundle(spec, group, std::move(bundle)).value());
  }
  return weights;
}

void Check(Input input) {
  const SparsityMode mode = static_cast<SparsityMode>(input.Take<uint8_t>() % 3);
  const FfnLayerSpec spec = TakeSpec(input);
  if (!CheckFfnSpec(spec).ok()) return;
  std::vector<GroupWeights> weights = TakeWeights(spec, input);
  if (weights.empty()) return;
  static auto* const pool = new ThreadPool(1);
  const auto shard = MakeCpuShard(spec, std::move(weights), mode, *pool, Arithmetic::kFast);
  HEARTH_CHECK(shard.ok());
  const std::vector<float> x(size_t{kRows} * spec.n_embd, input.Take<float>());
  const std::vector<float> hidden(size_t{kRows} * spec.predictor_rank, input.Take<float>());
  const std::vector<BlockChoice> choices(
      kRows, {static_cast<uint32_t>(spec.block_neurons.size()) - 1, input.Take<float>()});
  FfnRequest request;
  request.rows = kRows;
  request.x = x.data();
  request.hidden = spec.predictor_rank > 0 ? hidden.data() : nullptr;
  request.choices = choices;
  request.choices_per_row = 1;
  request.output_values = spec.output_values();
  std::vector<int64_t> sums(size_t{kRows} * spec.output_values());
  (*shard)->Run(request, *pool, absl::MakeSpan(sums)).IgnoreError();  // in memory there are none
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hearth::Check(hearth::Input(data, size));
  return 0;
}
