#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/kernel/fixed_point.h"
#include "engine/neuron/cpu_shard.h"
#include "gtest/gtest.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

constexpr uint32_t kEmbd = 256;
constexpr uint32_t kNeurons = 1024;
constexpr uint32_t kRank = 32;

FfnLayerSpec SpecOf(TensorType type, bool gated) {
  FfnLayerSpec spec;
  spec.n_embd = kEmbd;
  spec.block_neurons = {kNeurons};
  spec.activation = gated ? Activation::kRelu : Activation::kReluSquared;
  spec.gate = {gated, type};
  spec.up = spec.down = {true, type};
  return spec;
}

// As PowerInfer has it.
FfnLayerSpec PredictedSpec() {
  FfnLayerSpec spec = SpecOf(TensorType::kQ4_0, true);
  spec.neuron_major = true;
  spec.predictor_rank = kRank;
  spec.predictor_type = TensorType::kQ8_0;
  return spec;
}

// Three groups, the first of which has as many neurons as the others together.
std::vector<NeuronGroup> Groups() {
  std::vector<NeuronGroup> groups;
  for (uint32_t begin = 0, size = kNeurons / 2; begin < kNeurons; begin += size, size = 256) {
    size = std::min(size, kNeurons - begin);
    groups.emplace_back().neurons.resize(size);
    std::iota(groups.back().neurons.begin(), groups.back().neurons.end(), begin);
  }
  return groups;
}

// Random blocks, made once for all tests.
const std::vector<uint8_t>& RandomBlocks(const BundleEntry& entry, uint32_t seed) {
  static std::map<std::tuple<TensorType, uint64_t, uint64_t, uint32_t>, std::vector<uint8_t>> made;
  std::vector<uint8_t>& blocks = made[{entry.type, entry.rows, entry.cols, seed}];
  if (blocks.empty()) {
    const TestMatrix part = RandomMatrix(entry.type, entry.rows, entry.cols, seed);
    blocks.assign(part.blocks().begin(), part.blocks().end());
  }
  return blocks;
}

// Bundles of random blocks for the groups that pick(index) wants.
template <class Pick>
std::vector<GroupWeights> RandomWeights(const FfnLayerSpec& spec, Pick pick) {
  std::vector<GroupWeights> weights;
  const std::vector<NeuronGroup> groups = Groups();
  for (uint32_t g = 0; g < groups.size(); ++g) {
    if (!pick(g)) continue;
    const BundleLayout layout = *MakeBundleLayout(spec, groups[g]);
    std::vector<uint8_t> bytes(layout.bytes);
    for (const BundleEntry& entry : layout.entries) {
      const uint32_t seed = 10 * g + static_cast<uint32_t>(entry.part);
      const std::vector<uint8_t>& blocks = RandomBlocks(entry, seed);
      std::copy(blocks.begin(), blocks.end(), bytes.begin() + entry.offset);
    }
    weights.push_back(*GroupWeights::FromBundle(spec, groups[g], std::move(bytes)));
  }
  return weights;
}

bool All(uint32_t) { return true; }

struct Result {
  std::vector<int64_t> sums;
  ShardWork work;
};

Result Compute(CpuShard& shard, ThreadPool& pool, const std::vector<float>& x,
               const float* hidden = nullptr) {
  FfnRequest request;
  request.rows = static_cast<uint32_t>(x.size() / kEmbd);
  request.x = x.data();
  request.hidden = hidden;
  request.output_values = kEmbd;
  Result result;
  result.sums.resize(x.size());
  result.work = shard.Run(request, pool, absl::MakeSpan(result.sums)).value();
  return result;
}

template <class Pick>
Result Compute(const FfnLayerSpec& spec, SparsityMode mode, int threads, const std::vector<float>& x,
               const float* hidden, Pick pick, Arithmetic arithmetic = Arithmetic::kFast) {
  ThreadPool pool(threads);
  const auto shard = *MakeCpuShard(spec, RandomWeights(spec, pick), mode, pool, arithmetic);
  return Compute(*shard, pool, x, hidden);
}

std::vector<int64_t> SumsOfRow(const Result& result, size_t row) {
  return {result.sums.begin() + row * kEmbd, result.sums.begin() + (row + 1) * kEmbd};
}

std::vector<float> Row(const std::vector<float>& values, size_t row, size_t size) {
  return {values.begin() + row * size, values.begin() + (row + 1) * size};
}

TEST(SparseShard, ExactGivesTheBitsOfDenseForEveryType) {
  for (const TypeInfo& info : AllTypes()) {
    for (const bool gated : {true, false}) {
      const FfnLayerSpec spec = SpecOf(info.type, gated);
      for (const size_t rows : {1, 6}) {
        for (const Arithmetic arithmetic : {Arithmetic::kFast, Arithmetic::kFloat32}) {
          const std::vector<float> x = RandomFloats(rows * kEmbd, 3, 0.01f);
          const Result dense = Compute(spec, SparsityMode::kDense, 1, x, nullptr, All, arithmetic);
          const Result exact = Compute(spec, SparsityMode::kExact, 2, x, nullptr, All, arithmetic);
          EXPECT_EQ(exact.sums, dense.sums) << TypeName(info.type) << " gated " << gated << " rows " << rows;
          EXPECT_LT(exact.work.neurons_computed, dense.work.neurons_computed);
        }
      }
    }
  }
}

TEST(SparseShard, ExactReadsLessThanDense) {
  for (const TensorType type : {TensorType::kQ4_0, TensorType::kQ8_0, TensorType::kF16, TensorType::kQ4_K}) {
    const FfnLayerSpec spec = SpecOf(type, true);
    const std::vector<float> x = RandomFloats(kEmbd, 4, 0.01f);
    EXPECT_LT(Compute(spec, SparsityMode::kExact, 1, x, nullptr, All).work.bytes_touched,
              Compute(spec, SparsityMode::kDense, 1, x, nullptr, All).work.bytes_touched)
        << TypeName(type);
  }
}

TEST(SparseShard, ThreadsAndDevicesNeverChangeTheBits) {
  const FfnLayerSpec spec = PredictedSpec();
  const std::vector<float> x = RandomFloats(5 * kEmbd, 5), hidden = RandomFloats(5 * kRank, 6);
  for (const SparsityMode mode : {SparsityMode::kDense, SparsityMode::kExact, SparsityMode::kPredicted}) {
    const Result one = Compute(spec, mode, 1, x, hidden.data(), All);
    for (const int threads : {2, 3, 8})
      EXPECT_EQ(Compute(spec, mode, threads, x, hidden.data(), All).sums, one.sums);
    for (const uint32_t devices : {2u, 3u}) {
      std::vector<int64_t> sums(x.size());
      for (uint32_t d = 0; d < devices; ++d) {
        const Result part =
            Compute(spec, mode, 2, x, hidden.data(), [&](uint32_t group) { return group % devices == d; });
        for (size_t c = 0; c < sums.size(); ++c) sums[c] = AddFixedPoint(sums[c], part.sums[c]);
      }
      EXPECT_EQ(sums, one.sums) << devices << " devices";
    }
  }
}

// Rows that have much in common and share a union of neurons, and rows that have nothing.
TEST(SparseShard, RowOfABatchHasTheBitsThatItHasAlone) {
  constexpr size_t kRows = 40;
  std::vector<float> hidden = RandomFloats(kRows * kRank, 8);
  for (size_t row = 0; row < kRows; row += 2)
    std::copy_n(hidden.begin(), kRank, hidden.begin() + row * kRank);
  const std::vector<float> x = RandomFloats(kRows * kEmbd, 7);
  for (const float threshold : {0.0f, 30.0f, 1e9f}) {
    FfnLayerSpec spec = PredictedSpec();
    spec.sparse_threshold = threshold;
    ThreadPool pool(3);
    const auto shard =
        *MakeCpuShard(spec, RandomWeights(spec, All), SparsityMode::kPredicted, pool, Arithmetic::kFast);
    const Result batch = Compute(*shard, pool, x, hidden.data());
    for (size_t row = 0; row < kRows; ++row) {
      const Result alone = Compute(*shard, pool, Row(x, row, kEmbd), hidden.data() + row * kRank);
      ASSERT_EQ(SumsOfRow(batch, row), alone.sums) << "row " << row << " threshold " << threshold;
    }
  }
}

TEST(SparseShard, RowsWithoutAPredictionAreComputedExactly) {
  const FfnLayerSpec spec = PredictedSpec();
  const std::vector<float> x = RandomFloats(3 * kEmbd, 9);
  std::vector<float> hidden = RandomFloats(3 * kRank, 10);
  hidden[kRank] = std::numeric_limits<float>::quiet_NaN();
  const Result mixed = Compute(spec, SparsityMode::kPredicted, 2, x, hidden.data(), All);
  const Result exact = Compute(spec, SparsityMode::kExact, 2, x, nullptr, All);
  const Result unpredicted = Compute(spec, SparsityMode::kPredicted, 2, x, nullptr, All);
  EXPECT_EQ(unpredicted.sums, exact.sums);
  EXPECT_EQ(SumsOfRow(mixed, 1), SumsOfRow(exact, 1));
  for (const size_t row : {0, 2}) {
    const Result alone =
        Compute(spec, SparsityMode::kPredicted, 1, Row(x, row, kEmbd), hidden.data() + row * kRank, All);
    EXPECT_EQ(SumsOfRow(mixed, row), alone.sums) << "row " << row;
  }
}

TEST(SparseShard, CountsWhatFiresOfEachGroup) {
  const FfnLayerSpec spec = SpecOf(TensorType::kF32, true);
  ThreadPool pool(2);
  const auto shard =
      *MakeCpuShard(spec, RandomWeights(spec, All), SparsityMode::kExact, pool, Arithmetic::kFast);
  EXPECT_EQ(shard->firing().rows, 0u);
  const Result result = Compute(*shard, pool, RandomFloats(kEmbd, 11));
  const FiringShares seen = shard->firing();
  EXPECT_EQ(seen.rows, 1u);
  ASSERT_EQ(seen.shares.size(), 3u);
  const float fired = seen.shares[0] * kNeurons / 2 + (seen.shares[1] + seen.shares[2]) * kNeurons / 4;
  EXPECT_NEAR(fired, static_cast<float>(result.work.neurons_computed), 0.01);
  EXPECT_GT(fired, kNeurons / 4);
  EXPECT_LT(fired, kNeurons * 3 / 4);
}

TEST(SparseShard, CountsNothingWhereEveryNeuronIsComputed) {
  const FfnLayerSpec spec = PredictedSpec();
  ThreadPool pool(1);
  const auto shard =
      *MakeCpuShard(spec, RandomWeights(spec, All), SparsityMode::kDense, pool, Arithmetic::kFast);
  Compute(*shard, pool, RandomFloats(kEmbd, 11));
  EXPECT_EQ(shard->firing().rows, 0u);
}

TEST(SparseShard, NothingPredictedGivesNothing) {
  FfnLayerSpec spec = PredictedSpec();
  spec.sparse_threshold = std::numeric_limits<float>::infinity();
  const std::vector<float> x = RandomFloats(kEmbd, 11), hidden = RandomFloats(kRank, 12);
  const Result result = Compute(spec, SparsityMode::kPredicted, 2, x, hidden.data(), All);
  EXPECT_EQ(result.sums, std::vector<int64_t>(kEmbd, 0));
  EXPECT_EQ(result.work.neurons_computed, 0u);
}

}  // namespace
}  // namespace hearth
