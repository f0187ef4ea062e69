// Speed of feed-forward layers of a 7B ReLU model (Q4_0, stored as PowerInfer does, predictor of rank 544),
// by mode of sparsity, threads and rows. Every tenth neuron fires. CPU time is what to compare where a
// machine is shared.

#include <benchmark/benchmark.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <utility>
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

FfnLayerSpec Spec(bool relu) {
  FfnLayerSpec spec;
  spec.n_embd = kEmbd;
  spec.block_neurons = {kNeurons};
  spec.activation = relu ? Activation::kRelu : Activation::kSilu;
  spec.gate = spec.up = spec.down = {true, TensorType::kQ4_0};
  spec.neuron_major = relu;
  if (relu) spec.predictor_rank = kRank;
  spec.predictor_type = TensorType::kQ8_0;
  return spec;
}

// Blocks of random codes whose scale is small. Column 0 of gate and predictor decides: the inputs are 1 there
// and nearly 0 elsewhere, and a tenth of the neurons has a positive weight.
void Fill(const BundleEntry& entry, uint32_t first_neuron, uint8_t* out) {
  std::mt19937 random(static_cast<uint32_t>(entry.part) + first_neuron);
  const TypeInfo& info = GetTypeInfo(entry.type);
  for (size_t i = 0; i < entry.bytes; i += info.block_bytes) {
    out[i] = 0x00;
    out[i + 1] = 0x20;
    for (size_t b = 2; b < info.block_bytes; ++b) out[i + b] = static_cast<uint8_t>(random());
  }
  if (entry.part != BundlePart::kGate && entry.part != BundlePart::kPredictor) return;
  for (size_t r = 0; r < entry.rows; ++r) {
    const bool fires = (first_neuron + r) * 2654435761u % 1000 < 100;
    uint8_t& code = out[r * entry.bytes / entry.rows + 2];
    if (entry.type == TensorType::kQ4_0) {
      code = static_cast<uint8_t>((code & 0xf0) | (fires ? 15 : 0));
    } else {
      code = fires ? 100 : 156;
    }
  }
}

std::unique_ptr<CpuShard> MakeLayer(const FfnLayerSpec& spec, SparsityMode mode, ThreadPool& pool) {
  std::vector<GroupWeights> weights;
  for (NeuronGroup& group : MakeNeuronGroups(spec, {})) {
    const BundleLayout layout = *MakeBundleLayout(spec, group);
    std::vector<uint8_t> bytes(layout.bytes);
    for (const BundleEntry& entry : layout.entries)
      Fill(entry, group.neurons[0], bytes.data() + entry.offset);
    weights.push_back(*GroupWeights::FromBundle(spec, std::move(group), std::move(bytes)));
  }
  return *MakeCpuShard(spec, std::move(weights), mode, pool, Arithmetic::kFast);
}

void BM_Ffn(benchmark::State& state, bool relu, SparsityMode mode) {
  const int threads = static_cast<int>(state.range(0));
  const size_t rows = static_cast<size_t>(state.range(1));
  ThreadPool& pool = Pool(threads);
  static std::map<std::pair<bool, SparsityMode>, std::vector<std::unique_ptr<CpuShard>>> made;
  std::vector<std::unique_ptr<CpuShard>>& layers = made[{relu, mode}];
  while (layers.size() < kLayers) layers.push_back(MakeLayer(Spec(relu), mode, pool));
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
  benchmark->ArgNames({"threads", "rows"})->Unit(benchmark::kMicrosecond);
  for (const int threads : {1, 2}) {
    for (const int rows : {1, 8, 32, 128}) benchmark->Args({threads, rows});
  }
}
BENCHMARK_CAPTURE(BM_Ffn, DenseModel, false, SparsityMode::kDense)->Apply(Arguments);
BENCHMARK_CAPTURE(BM_Ffn, Dense, true, SparsityMode::kDense)->Apply(Arguments);
BENCHMARK_CAPTURE(BM_Ffn, Exact, true, SparsityMode::kExact)->Apply(Arguments);
BENCHMARK_CAPTURE(BM_Ffn, Predicted, true, SparsityMode::kPredicted)->Apply(Arguments);

}  // namespace
}  // namespace hearth

BENCHMARK_MAIN();
