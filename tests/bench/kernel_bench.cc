// Speed of the kernels, beside what the machine can do: bytes/s as a share of the measured read bandwidth for
// one token, operations/s as a share of the measured peak for many. Argument 0 is the number of threads.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/kernel/attention.h"
#include "engine/kernel/bandwidth.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/row_matrix.h"
#include "engine/kernel/vector_ops.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

ThreadPool& Pool(int threads) {
  static std::map<int, ThreadPool> pools;
  return pools.try_emplace(threads, threads).first->second;
}

double ReadBandwidth(int threads) {
  static std::map<int, double> measured;
  const auto [it, added] = measured.try_emplace(threads, 0.0);
  if (added) it->second = MeasureReadBandwidth(Pool(threads));
  return it->second;
}

double Int8Rate(int threads) {
  static std::map<int, double> measured;
  const auto [it, added] = measured.try_emplace(threads, 0.0);
  if (added) it->second = MeasureInt8Rate(Pool(threads));
  return it->second;
}

std::vector<float> RandomFloats(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Matrices of random bits, together much larger than the caches, as a model's layers are. Scales may be
// anything: the kernels' speed does not depend on values.
std::vector<Matrix> RandomMatrices(TensorType type, size_t rows, size_t cols, size_t total_bytes,
                                   ThreadPool& pool) {
  const size_t bytes = rows * *RowBytes(type, cols);
  std::mt19937_64 random(1);
  std::vector<uint64_t> words(bytes / 8 + 1);
  // Sign and top exponent bits cleared in every half word keep all scales finite.
  for (uint64_t& word : words) word = random() & 0x3fff3fff3fff3fff;
  std::vector<Matrix> matrices;
  const absl::Span<const uint8_t> blocks(reinterpret_cast<const uint8_t*>(words.data()), bytes);
  do {
    matrices.push_back(*Matrix::Pack(type, rows, cols, blocks, pool));
  } while (matrices.size() * bytes < total_bytes);
  return matrices;
}

void BM_MatMul(benchmark::State& state, TensorType type) {
  const int threads = static_cast<int>(state.range(0));
  const size_t tokens = static_cast<size_t>(state.range(1));
  constexpr size_t kRows = 4096, kCols = 4096;
  ThreadPool& pool = Pool(threads);
  const std::vector<Matrix> weights = RandomMatrices(type, kRows, kCols, tokens <= 8 ? 400 << 20 : 1, pool);
  const std::vector<float> values = RandomFloats(tokens * kCols);
  std::vector<float> out(tokens * kRows);
  Activations x;
  size_t next = 0;
  for (auto _ : state) {
    x.Set(values.data(), tokens, kCols, kCols);
    const Product product = {&weights[next], out.data(), kRows};
    MatMul(pool, x, {&product, 1});
    next = (next + 1) % weights.size();
  }
  const double iterations = static_cast<double>(state.iterations());
  const double bytes = static_cast<double>(weights[0].bytes()) * iterations;
  const double operations = 2.0 * kRows * kCols * static_cast<double>(tokens) * iterations;
  using benchmark::Counter;
  state.counters["B/s"] = Counter(bytes, Counter::kIsRate);
  state.counters["of_read"] = Counter(bytes / ReadBandwidth(threads), Counter::kIsRate);
  state.counters["op/s"] = Counter(operations, Counter::kIsRate);
  state.counters["of_int8"] = Counter(operations / Int8Rate(threads), Counter::kIsRate);
}

void MatMulArguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"threads", "tokens"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  for (const int threads : {1, 2}) {
    for (const int tokens : {1, 4, 8, 32, 128, 512}) benchmark->Args({threads, tokens});
  }
}

BENCHMARK_CAPTURE(BM_MatMul, Q4_0, TensorType::kQ4_0)->Apply(MatMulArguments);
BENCHMARK_CAPTURE(BM_MatMul, Q8_0, TensorType::kQ8_0)->Apply(MatMulArguments);
BENCHMARK_CAPTURE(BM_MatMul, Q4_K, TensorType::kQ4_K)->Apply(MatMulArguments);
BENCHMARK_CAPTURE(BM_MatMul, Q5_K, TensorType::kQ5_K)->Apply(MatMulArguments);
BENCHMARK_CAPTURE(BM_MatMul, Q6_K, TensorType::kQ6_K)->Apply(MatMulArguments);
BENCHMARK_CAPTURE(BM_MatMul, IQ4_XS, TensorType::kIQ4_XS)->Apply(MatMulArguments);
BENCHMARK_CAPTURE(BM_MatMul, F16, TensorType::kF16)->Apply(MatMulArguments);
BENCHMARK_CAPTURE(BM_MatMul, BF16, TensorType::kBF16)->Apply(MatMulArguments);

// One token times every tenth row, as for the neurons that fire.
void BM_MatMulRows(benchmark::State& state, TensorType type) {
  const int threads = static_cast<int>(state.range(0));
  constexpr size_t kRows = 16384, kCols = 4096, kStep = 10;
  ThreadPool& pool = Pool(threads);
  const size_t row_bytes = *RowBytes(type, kCols);
  const std::vector<uint8_t> row(row_bytes, 0x11);
  const auto read = [&](size_t, size_t count, uint8_t* out) {
    for (size_t r = 0; r < count; ++r) std::memcpy(out + r * row_bytes, row.data(), row_bytes);
  };
  std::vector<RowMatrix> weights;
  for (size_t bytes = 0; bytes < (size_t{400} << 20); bytes += kRows * row_bytes)
    weights.push_back(*RowMatrix::PackRows(type, kRows, kCols, read, pool));
  std::vector<uint32_t> ids;
  for (size_t r = 3; r < kRows; r += kStep) ids.push_back(static_cast<uint32_t>(r));
  const std::vector<float> values = RandomFloats(kCols);
  std::vector<float> out(ids.size());
  Activations x;
  size_t next = 0;
  for (auto _ : state) {
    x.Set(values.data(), 1, kCols, kCols);
    const RowProduct product = {ids, 0, 1, out.data(), out.size()};
    MatMulRows(pool, x, weights[next], {&product, 1});
    next = (next + 1) % weights.size();
  }
  const double bytes = static_cast<double>(ids.size() * row_bytes) * static_cast<double>(state.iterations());
  using benchmark::Counter;
  state.counters["B/s"] = Counter(bytes, Counter::kIsRate);
  state.counters["of_read"] = Counter(bytes / ReadBandwidth(threads), Counter::kIsRate);
}
BENCHMARK_CAPTURE(BM_MatMulRows, Q4_0, TensorType::kQ4_0)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(BM_MatMulRows, Q8_0, TensorType::kQ8_0)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(BM_MatMulRows, Q4_K, TensorType::kQ4_K)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(BM_MatMulRows, F16, TensorType::kF16)->Arg(1)->Arg(2)->UseRealTime();

void BM_Pack(benchmark::State& state, TensorType type) {
  const int threads = static_cast<int>(state.range(0));
  constexpr size_t kRows = 4096, kCols = 4096;
  const size_t bytes = kRows * *RowBytes(type, kCols);
  const std::vector<uint8_t> blocks(bytes, 0x11);
  for (auto _ : state) benchmark::DoNotOptimize(Matrix::Pack(type, kRows, kCols, blocks, Pool(threads)));
  state.counters["B/s"] =
      benchmark::Counter(static_cast<double>(bytes * state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK_CAPTURE(BM_Pack, Q4_0, TensorType::kQ4_0)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(BM_Pack, Q8_0, TensorType::kQ8_0)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(BM_Pack, Q4_K, TensorType::kQ4_K)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(BM_Pack, Q6_K, TensorType::kQ6_K)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(BM_Pack, F16, TensorType::kF16)->Arg(1)->Arg(2)->UseRealTime();

// One token (or a tile of a prompt) against a cache of many positions: 32 query heads, 8 KV heads of 128.
void BM_Attention(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(0));
  const size_t positions = static_cast<size_t>(state.range(1)), rows = static_cast<size_t>(state.range(2));
  AttentionShape shape;
  shape.query_heads = 32;
  shape.kv_heads = static_cast<uint32_t>(state.range(3));
  shape.key_dim = shape.value_dim = 128;
  shape.scale = 0.088f;
  const size_t head_bytes = KvBytes(KvType::kF16, shape.key_dim);
  const KvStrides strides = {positions * head_bytes, head_bytes};
  const size_t layer_bytes = shape.kv_heads * strides.head;
  // As many layers as exceed the caches.
  const size_t layers = std::max<size_t>(1, (size_t{300} << 20) / (2 * layer_bytes));
  const std::vector<float> values = RandomFloats(shape.key_dim);
  std::vector<uint8_t> keys(layers * layer_bytes), cached(keys.size());
  for (size_t at = 0; at < keys.size(); at += head_bytes) {
    StoreKv(KvType::kF16, values.data(), shape.key_dim, keys.data() + at);
    StoreKv(KvType::kF16, values.data(), shape.key_dim, cached.data() + at);
  }
  const size_t query_cols = shape.query_heads * shape.key_dim;
  const std::vector<float> queries = RandomFloats(rows * query_cols);
  std::vector<float> out(rows * query_cols);
  size_t layer = 0;
  for (auto _ : state) {
    const size_t at = layer * layer_bytes;
    const KvView kv = {KvType::kF16, keys.data() + at, cached.data() + at, strides, strides, nullptr};
    std::vector<AttentionRow> batch;
    for (size_t r = 0; r < rows; ++r) {
      const uint32_t last = static_cast<uint32_t>(positions - rows + r);
      batch.push_back({queries.data() + r * query_cols, nullptr, out.data() + r * query_cols, kv, 0, last});
    }
    Attention(Pool(threads), shape, batch);
    layer = (layer + 1) % layers;
  }
  const double bytes = 2.0 * static_cast<double>(layer_bytes * state.iterations());
  const double operations = 4.0 * static_cast<double>(rows * query_cols * positions * state.iterations());
  using benchmark::Counter;
  state.counters["B/s"] = Counter(bytes, Counter::kIsRate);
  state.counters["of_read"] = Counter(bytes / ReadBandwidth(threads), Counter::kIsRate);
  state.counters["op/s"] = Counter(operations, Counter::kIsRate);
}
BENCHMARK(BM_Attention)
    ->ArgNames({"threads", "positions", "rows", "kv_heads"})
    ->Args({1, 4096, 1, 8})
    ->Args({2, 4096, 1, 8})
    ->Args({1, 4096, 1, 32})
    ->Args({1, 512, 128, 8})
    ->Args({1, 512, 128, 32})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

// An empty parallel section.
void BM_Section(benchmark::State& state) {
  ThreadPool& pool = Pool(static_cast<int>(state.range(0)));
  for (auto _ : state) pool.Run([](int) {});
}
BENCHMARK(BM_Section)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime();

void BM_RmsNorm(benchmark::State& state) {
  const std::vector<float> x = RandomFloats(4096), weight = RandomFloats(4096);
  std::vector<float> out(x.size());
  for (auto _ : state) RmsNorm(x.data(), weight.data(), 1e-5f, x.size(), out.data());
}
BENCHMARK(BM_RmsNorm);

void BM_ActivateGated(benchmark::State& state, Activation f) {
  const std::vector<float> gate = RandomFloats(11008), up = RandomFloats(11008);
  std::vector<float> out(gate.size());
  for (auto _ : state) ActivateGated(f, {}, false, gate.data(), up.data(), gate.size(), out.data());
}
BENCHMARK_CAPTURE(BM_ActivateGated, Silu, Activation::kSilu);
BENCHMARK_CAPTURE(BM_ActivateGated, Gelu, Activation::kGelu);

void BM_Probe(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(0));
  for (auto _ : state) {
    state.counters["read_B/s"] = MeasureReadBandwidth(Pool(threads));
    state.counters["int8_op/s"] = MeasureInt8Rate(Pool(threads));
    state.counters["f32_op/s"] = MeasureF32Rate(Pool(threads));
  }
}
BENCHMARK(BM_Probe)->ArgName("threads")->Arg(1)->Arg(2)->Iterations(1)->UseRealTime()->Unit(
    benchmark::kMillisecond);

}  // namespace
}  // namespace hearth

BENCHMARK_MAIN();
