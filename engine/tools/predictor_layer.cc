#include "engine/tools/predictor_layer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/neuron/ffn_observer.h"
#include "engine/tools/observed_device.h"

namespace hearth {
namespace {

// Rows [first_row, first_row + rows) of a matrix, times `scale`.
std::vector<float> ReadRows(const WeightSlice& slice, uint64_t rows, float scale) {
  const GgufTensor& tensor = *slice.tensor;
  std::vector<float> values(rows * tensor.cols());
  Dequantize(tensor.type,
             tensor.data.subspan(slice.first_row * tensor.row_bytes(), rows * tensor.row_bytes()),
             values.size(), values.data());
  for (float& value : values) value *= scale;
  return values;
}

std::vector<float> ReadBias(const WeightSlice& slice, uint64_t count) {
  if (slice.tensor == nullptr) return {};
  const TypeInfo& type = GetTypeInfo(slice.tensor->type);
  std::vector<float> values(count);
  Dequantize(slice.tensor->type,
             slice.tensor->data.subspan(slice.first_row * type.block_bytes, count * type.block_bytes), count,
             values.data());
  return values;
}

// The length of what each neuron adds to the output per unit of its hidden value.
std::vector<float> DownLengths(const FfnLayerSpec& spec, const FfnBlockSource& block) {
  const size_t neurons = spec.block_neurons[0], n = spec.n_embd;
  const std::vector<float> down = ReadRows(block.down, spec.neuron_major ? neurons : n, spec.down_scale);
  std::vector<double> squares(neurons);
  for (size_t i = 0; i < down.size(); ++i) {
    squares[spec.neuron_major ? i / n : i % neurons] += double{down[i]} * down[i];
  }
  std::vector<float> lengths(neurons);
  for (size_t i = 0; i < neurons; ++i) lengths[i] = static_cast<float>(std::sqrt(squares[i]));
  return lengths;
}

double BytesPerNeuron(const WeightSlice& slice, double neurons) {
  return slice.tensor == nullptr ? 0 : static_cast<double>(slice.tensor->data.size()) / neurons;
}

// Collects |h| times a factor per neuron.
class MassCollector : public FfnObserver {
 public:
  MassCollector(std::vector<float> lengths, float scale) : lengths_(std::move(lengths)), scale_(scale) {}

  // Where the rows of the next request go, (rows, neurons), all zero.
  void SetTarget(float* mass) { mass_ = mass; }
  void OnRequest(const FfnRequest&) override {}
  void OnHidden(const FfnRequest&, uint32_t, uint32_t row, absl::Span<const uint32_t> ids,
                const float* h) override {
    float* mass = mass_ + size_t{row} * lengths_.size();
    for (size_t i = 0; i < ids.size(); ++i) mass[ids[i]] = std::abs(h[i]) * scale_ * lengths_[ids[i]];
  }

 private:
  const std::vector<float> lengths_;
  const float scale_;
  float* mass_ = nullptr;
};

absl::Status CollectMass(const FfnLayerSpec& spec, uint32_t layer, Device& device, uint32_t max_rows,
                         MassCollector& collector, PredictorTask& task) {
  ObservedDevice observed(device, {&collector});
  const size_t n = spec.n_embd, tokens = task.held_out.size() / n;
  task.mass.assign(tokens * task.neurons, 0);
  std::vector<int64_t> sums;
  for (size_t first = 0; first < tokens; first += max_rows) {
    const auto rows = static_cast<uint32_t>(std::min<size_t>(max_rows, tokens - first));
    collector.SetTarget(task.mass.data() + first * task.neurons);
    sums.assign(size_t{rows} * spec.output_values(), 0);
    const Ticket ticket = observed.Submit(FfnRequest{.layer = layer,
                                                     .rows = rows,
                                                     .x = task.held_out.data() + first * n,
                                                     .output_values = spec.output_values()});
    HEARTH_RETURN_IF_ERROR(observed.Collect(ticket, absl::MakeSpan(sums)));
  }
  return absl::OkStatus();
}

std::vector<uint8_t> Pack(TensorType type, const std::vector<float>& values) {
  std::vector<uint8_t> packed(RowBytes(type, values.size()).value());
  HEARTH_CHECK(Quantize(type, values, {}, absl::MakeSpan(packed)).ok());
  return packed;
}

}  // namespace

bool CanPredict(const FfnLayerSpec& spec) {
  return spec.block_neurons.size() == 1 && spec.is_relu_family() && !spec.normalize_hidden;
}

absl::StatusOr<PredictorTask> MakePredictorTask(const ModelOutline& outline, uint32_t layer,
                                                std::vector<float> inputs, Device& device,
                                                uint32_t max_rows) {
  const FfnLayerSpec& spec = outline.ffn_specs[layer];
  const FfnBlockSource& block = outline.ffn_sources[layer].blocks[0];
  HEARTH_CHECK(CanPredict(spec));
  if (block.packed != nullptr) {
    return absl::InvalidArgumentError(
        "predictors are made of the model before it is packed; their profile serves the packed file as well");
  }
  const size_t n = spec.n_embd, tokens = inputs.size() / n;
  if (tokens < 4) return absl::InvalidArgumentError("the text is too short; give one of thousands of tokens");

  PredictorTask task;
  task.n_embd = spec.n_embd;
  task.neurons = spec.block_neurons[0];
  task.activation = spec.activation;
  const WeightSlice& first = spec.gate.present ? block.gate : block.up;
  task.gate = ReadRows(first, task.neurons, spec.gate.present ? spec.gate_scale : spec.up_scale);
  task.bias = ReadBias(spec.gate.present ? block.gate_bias : block.up_bias, task.neurons);
  task.gate_bytes = static_cast<double>(first.tensor->row_bytes());
  task.rest_bytes = BytesPerNeuron(block.down, task.neurons) +
                    (spec.gate.present ? static_cast<double>(block.up.tensor->row_bytes()) : 0);
  const auto cut = inputs.begin() + static_cast<ptrdiff_t>(tokens * 3 / 4 * n);
  task.held_out.assign(cut, inputs.end());
  inputs.erase(cut, inputs.end());
  task.inputs = std::move(inputs);
  // Hidden values come with down_scale, which is in the lengths already.
  MassCollector collector(DownLengths(spec, block), 1 / spec.down_scale);
  HEARTH_RETURN_IF_ERROR(CollectMass(spec, layer, device, max_rows, collector, task));
  return task;
}

void AddPredictor(uint32_t layer, const Predictor& predictor, GgufWriter& writer) {
  const std::string name = absl::StrCat("blk.", layer, ".");
  const uint64_t rank = predictor.rank;
  const uint64_t n_embd = predictor.fc1.size() / rank, neurons = predictor.fc2.size() / rank;
  const TensorType fc1 = PredictorType(static_cast<uint32_t>(n_embd)), fc2 = PredictorType(predictor.rank);
  writer.Set(absl::StrCat("hearth.predictor.", layer), std::string("linear"));
  writer.AddTensor(name + "fc1.weight", fc1, {n_embd, rank}, Pack(fc1, predictor.fc1));
  writer.AddFloats(name + "fc1.bias", {rank}, predictor.fc1_bias);
  writer.AddTensor(name + "fc2.weight", fc2, {rank, neurons}, Pack(fc2, predictor.fc2));
}

}  // namespace hearth
