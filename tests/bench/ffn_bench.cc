// Speed of feed-forward layers of a 7B ReLU model (Q4_0, stored as standard files and as PowerInfer's do, the
// latter with a predictor of rank 544), by mode of sparsity, threads, rows and percent of the neurons that
// fire. CPU time is what to compare where a machine is shared.

#include <benchmark/benchmark.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <tuple>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/kernel/bandwidth.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/neuron/neuron_group.h"

namespace hearth {
namespace {

constexpr uint32_t kEmbd = 4096, kNeurons = 11008, kRank = 544;
constexpr size_t kLayers = 4;  // together much larger than the caches

ThreadPool& Pool(int threads) {
  static std::map<int, ThreadPool> pools;
  return pools.try_emplace(threads, threads).first->second;
}

enum class Form { kStandard, kPowerInfer };

FfnLayerSpec Spec(Form form) {
  FfnLayerSpec spec;
  spec.n_embd = kEmbd;
  spec.block_neurons = {kNeurons};
  spec.activation = Activation::kRelu;
  spec.gate = spec.up = spec.down = {true, TensorType::kQ4_0};
  spec.neuron_major = form == Form::kPowerInfer;
  if (form == Form::kPowerInfer) spec.predictor_rank = kRank;
  spec.predictor_type = TensorType::kQ8_0;
  return spec;
}

// Blocks of random codes whose scale is small. Column 0 of gate and predictor decides: the inputs are 1 there
// and nearly 0 elsewhere, and so many percent of the neurons have a positive weight.
void Fill(const BundleEntry& entry, uint32_t first_neuron, uint32_t percent, uint8_t* out) {
  std::mt19937 random(static_cast<uint32_t>(entry.part) + first_neuron);
  const TypeInfo& info = GetTypeInfo(entry.type);
  for (size_t i = 0; i < entry.bytes; i += info.block_bytes) {
    out[i] = 0x00;
    out[i + 1] = 0x20;
    for (size_t b = 2; b < info.block_bytes; ++b) out[i + b] = static_cast<uint8_t>(random());
  }
  if (entry.part != BundlePart::kGate && entry.part != BundlePart::kPredictor) return;
  for (size_t r = 0; r < entry.rows; ++r) {
    const bool fires = (first_neuron + r) * 2654435761u % 1000 < 10 * percent;
    uint8_t& code = out[r * entry.bytes / entry.rows + 2];
    if (entry.type == TensorType::kQ4_0) {
      code = static_cast<uint8_t>((code & 0xf0) | (fires ? 15 : 0));
    } else {
      code = fires ? 100 : 156;
    }
  }
}

std::unique_ptr<CpuShard> MakeLayer(const FfnLayerSpec& spec, SparsityMode mode, uint32_t percent,
                                    ThreadPool& pool) {
  std::vector<GroupWeights> weights;
  for (NeuronGroup& group : MakeNeuronGroups(spec, {})) {
    const BundleLayout layout = *MakeBundleLayout(spec, group);
    std::vector<uint8_t> bytes(layout.bytes);
    for (const BundleEntry& entry : layout.entries)
      Fill(entry, group.neurons[0], percent, bytes.data() + entry.offset);
    weights.push_back(*GroupWeights::FromBundle(spec, std::move(group), std::move(bytes)));
  }
  return *MakeCpuShard(spec, std::move(weights), mode, pool, Arithmetic::kFast);
}

// The layers of one benchmark at a time: all of them take more memory than many a machine has.
std::vector<std::unique_ptr<CpuShard>>& Layers(Form form, SparsityMode mode, uint32_t percent,
                                               ThreadPool& pool) {
  static std::tuple<Form, SparsityMode, uint32_t> made;
  static std::vector<std::unique_ptr<CpuShard>> layers;
  const std::tuple<Form, SparsityMode, uint32_t> wanted(form, mode, percent);
  if (made != wanted) layers.clear();
  made = wanted;
  while (layers.size() < kLayers) layers.push_back(MakeLayer(Spec(form), mode, percent, pool));
  return layers;
}

void BM_Ffn(benchmark::State& state, Form form, SparsityMode mode) {
  const int threads = static_cast<int>(state.range(1));
  const size_t rows = static_cast<size_t>(state.range(2));
  ThreadPool& pool = Pool(threads);
  const auto& layers = Layers(form, mode, static_cast<uint32_t>(state.range(0)), pool);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.001f);
  std::vector<float> x(rows * kEmbd), hidden(rows * kRank);
  for (std::vector<float>* values : {&x, &hidden}) {
    for (float& value : *values) value = normal(random);
    for (size_t r = 0; r < rows; ++r) (*values)[r * values->size() / rows] = 1;
  }
  FfnRequest request;
  request.rows = static_cast<uint32_t>(rows);
  request.x = x.data();
  request.hidden = mode == SparsityMode::kPredicted ? hidden.data() : nullptr;
  request.output_values = kEmbd;
  std::vector<int64_t> sums(rows * kEmbd);
  double bytes = 0, neurons = 0;
  size_t next = 0;
  for (auto _ : state) {
    const ShardWork work = layers[next]->Run(request, pool, absl::MakeSpan(sums)).value();
    bytes += static_cast<double>(work.bytes_touched);
    neurons += static_cast<double>(work.neurons_computed);
    next = (next + 1) % kLayers;
  }
  using benchmark::Counter;
  state.counters["B/s"] = Counter(bytes, Counter::kIsRate);
  state.counters["rows/s"] = Counter(static_cast<double>(rows * state.iterations()), Counter::kIsRate);
  state.counters["active"] =
      neurons / static_cast<double>(rows * state.iterations()) / static_cast<double>(kNeurons);
}

void Arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"percent", "threads", "rows"})->Unit(benchmark::kMicrosecond);
  for (const int percent : {5, 10, 20, 40, 60, 80}) {
    for (const int threads : {1, 2}) {
      for (const int rows : {1, 8, 32, 128}) benchmark->Args({percent, threads, rows});
    }
  }
}
BENCHMARK_CAPTURE(BM_Ffn, Dense, Form::kStandard, SparsityMode::kDense)->Apply(Arguments);
BENCHMARK_CAPTURE(BM_Ffn, Exact, Form::kStandard, SparsityMode::kExact)->Apply(Arguments);
BENCHMARK_CAPTURE(BM_Ffn, PowerInferDense, Form::kPowerInfer, SparsityMode::kDense)->Apply(Arguments);
BENCHMARK_CAPTURE(BM_Ffn, PowerInferExact, Form::kPowerInfer, SparsityMode::kExact)->Apply(Arguments);
BENCHMARK_CAPTURE(BM_Ffn, PowerInferPredicted, Form::kPowerInfer, SparsityMode::kPredicted)->Apply(Arguments);

}  // namespace
}  // namespace hearth

BENCHMARK_MAIN();
