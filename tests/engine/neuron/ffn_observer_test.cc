#include "engine/neuron/ffn_observer.h"

#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <numeric>
#include <utility>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/neuron/cpu_shard.h"
#include "tests/engine/neuron/ffn_fixture.h"

namespace hearth {
namespace {

constexpr uint32_t kObservedNeurons = 64;
constexpr uint32_t kRows = 3;

// Keeps the hidden values by row and neuron.
class Recorder : public FfnObserver {
 public:
  void OnRequest(const FfnRequest&) override {}
  void OnHidden(const FfnRequest&, uint32_t block, uint32_t row, absl::Span<const uint32_t> ids,
                const float* h) override {
    EXPECT_EQ(block, 0u);
    const std::scoped_lock lock(mutex_);
    for (size_t i = 0; i < ids.size(); ++i) hidden_[{row, ids[i]}] = h[i];
  }
  double at(uint32_t row, uint32_t neuron) const {
    const auto found = hidden_.find({row, neuron});
    return found == hidden_.end() ? 0 : found->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<uint32_t, uint32_t>, float> hidden_;
};

// Two groups whose neurons do not lie in the order of their ids.
std::vector<GroupWeights> OddsThenEvens(const FfnFixture& ffn) {
  std::vector<GroupWeights> weights;
  for (const uint32_t first : {1u, 0u}) {
    NeuronGroup group;
    for (uint32_t id = first; id < kObservedNeurons; id += 2) group.neurons.push_back(id);
    weights.push_back(*GroupWeights::FromBundle(ffn.spec(), group, ffn.Bundle(group)));
  }
  return weights;
}

void ExpectSeen(FfnLayerSpec spec, SparsityMode mode) {
  const FfnFixture ffn(std::move(spec), 1, kObservedNeurons);
  ThreadPool pool(2);
  const auto shard = MakeCpuShard(ffn.spec(), OddsThenEvens(ffn), mode, pool, Arithmetic::kFloat32).value();
  std::vector<float> x(kRows * ffn.spec().n_embd);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7 % 11) / 5 - 1;
  Recorder recorder;
  std::vector<int64_t> sums(x.size());
  const FfnRequest request = {
      .rows = kRows, .x = x.data(), .observer = &recorder, .output_values = ffn.spec().n_embd};
  ASSERT_TRUE(shard->Run(request, pool, absl::MakeSpan(sums)).ok());
  for (uint32_t row = 0; row < kRows; ++row) {
    for (uint32_t i = 0; i < kObservedNeurons; ++i) {
      const double h = ffn.Hidden(ffn.source().blocks[0], i, x.data() + row * ffn.spec().n_embd, 1);
      ASSERT_NEAR(recorder.at(row, i), h, 1e-4) << "row " << row << " neuron " << i;
    }
  }
}

TEST(FfnObserver, SeesAllHiddenValuesOfADenseLayer) { ExpectSeen(SmallSpec(), SparsityMode::kDense); }

TEST(FfnObserver, SeesWhatFiresWhereTheRestIsSkipped) {
  FfnLayerSpec spec = SmallSpec();
  spec.activation = Activation::kRelu;
  ExpectSeen(spec, SparsityMode::kExact);
}

TEST(FfnObserver, SeesLayersWithoutAGate) {
  FfnLayerSpec spec = SmallSpec();
  spec.gate.present = false;
  spec.activation = Activation::kReluSquared;
  ExpectSeen(spec, SparsityMode::kExact);
}

TEST(FfnObserver, SeesLayersStoredByNeuron) {
  FfnLayerSpec spec = SmallSpec();
  spec.activation = Activation::kRelu;
  spec.neuron_major = true;
  ExpectSeen(spec, SparsityMode::kDense);
}

}  // namespace
}  // namespace hearth
