#ifndef HEARTH_TESTS_DAEMON_WEIGHTS_SHARD_FIXTURE_H_
#define HEARTH_TESTS_DAEMON_WEIGHTS_SHARD_FIXTURE_H_

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "daemon/weights/local_shard.h"
#include "tests/engine/neuron/ffn_fixture.h"

namespace hearth {

// A model of two small layers with ReLU gates and random weights, and its neuron groups.
class ShardFixture {
 public:
  static constexpr uint32_t kEmbedding = 64;
  static constexpr uint32_t kNeurons = 128;
  static constexpr uint32_t kLayers = 2;

  ShardFixture() {
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      layers_.emplace_back(Spec(), 1, kNeurons, layer + 1);
      groups_.push_back(MakeNeuronGroups(layers_.back().spec(), {}, 4));
    }
  }

  // A shard with the groups of every layer for which pick(group) names a device; "" leaves a group out.
  template <class Pick>
  ShardDescription Describe(uint64_t epoch, Pick pick) const {
    ShardDescription shard;
    shard.epoch = epoch;
    shard.model = "test";
    shard.model_digest = "sha256:test";
    shard.sparsity = SparsityMode::kExact;
    shard.layers = kLayers;
    shard.max_rows = 8;
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      ShardLayer share{layer, layers_[layer].spec(), {}};
      for (size_t g = 0; g < groups_[layer].size(); ++g) {
        const std::string device = pick(g);
        if (device.empty()) continue;
        const std::vector<uint8_t> bundle = layers_[layer].Bundle(groups_[layer][g]);
        share.groups.push_back({device, groups_[layer][g], Sha256Of(bundle), bundle.size()});
      }
      if (!share.groups.empty()) shard.shares.push_back(std::move(share));
    }
    return shard;
  }

  std::vector<uint8_t> Bundle(const ShardLayer& share, const PlacedGroup& group) const {
    return layers_[share.layer].Bundle(group.group);
  }

  // A shard that is loaded; `loaded_bundles` counts what it asked for.
  std::shared_ptr<LocalShard> Load(ShardDescription description, HostDevices& devices,
                                   const LocalShard* former = nullptr, int* loaded_bundles = nullptr) const {
    auto shard = std::make_shared<LocalShard>(std::move(description), devices);
    if (former != nullptr) shard->Adopt(*former);
    ThreadPool pool(1);
    const absl::Status status = shard->Load(
        [&](const ShardLayer& share, const PlacedGroup& group) {
          if (loaded_bundles != nullptr) ++*loaded_bundles;
          return GroupWeights::FromBundle(share.spec, group.group, Bundle(share, group));
        },
        pool, nullptr);
    EXPECT_TRUE(status.ok()) << status;
    return shard;
  }

  // What all neurons together give for the rows of x.
  std::vector<int64_t> Expected(uint32_t layer, const std::vector<float>& x) const {
    HostDevices devices({{"cpu", 1, uint64_t{1} << 30}});
    return Run(*Load(Describe(1, [](size_t) { return "cpu"; }), devices), layer, x);
  }

  static FfnRequest Request(uint32_t layer, const std::vector<float>& x) {
    FfnRequest request;
    request.layer = layer;
    request.rows = static_cast<uint32_t>(x.size() / kEmbedding);
    request.x = x.data();
    request.output_values = kEmbedding;
    return request;
  }

  static std::vector<int64_t> Run(LocalShard& shard, uint32_t layer, const std::vector<float>& x) {
    std::vector<int64_t> sums(x.size());
    const absl::Status status = shard.Run(Request(layer, x), absl::MakeSpan(sums));
    EXPECT_TRUE(status.ok()) << status;
    return sums;
  }

 private:
  static FfnLayerSpec Spec() {
    FfnLayerSpec spec;
    spec.n_embd = kEmbedding;
    spec.activation = Activation::kRelu;
    spec.gate.present = true;
    return spec;
  }

  std::deque<FfnFixture> layers_;  // never moved: an FfnFixture points into itself
  std::vector<std::vector<NeuronGroup>> groups_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_WEIGHTS_SHARD_FIXTURE_H_
