#ifndef HEARTH_TESTS_ENGINE_DEVICE_FFN_DEVICE_H_
#define HEARTH_TESTS_ENGINE_DEVICE_FFN_DEVICE_H_

#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "engine/device/cpu_device.h"
#include "tests/engine/neuron/ffn_fixture.h"

namespace hearth {

// A CPU device that holds nothing yet of a model that is one feed-forward layer.
class FfnDevice : public CpuDevice {
 public:
  FfnDevice(const FfnFixture& ffn, ThreadPool& pool) : CpuDevice("cpu", Model(ffn), 64, pool) {}

  // Takes over weights as one piece.
  absl::Status Load(const FfnFixture& ffn, std::vector<GroupWeights> weights, SparsityMode mode,
                    ThreadPool& pool) {
    auto shard = MakeCpuShard(ffn.spec(), std::move(weights), mode, pool, Arithmetic::kFast);
    if (!shard.ok()) return shard.status();
    Add(UnitKind::kNeurons, 0, MakeFfnPiece({}, *std::move(shard)));
    return absl::OkStatus();
  }

 private:
  static const ModelSpec& Model(const FfnFixture& ffn) {
    static const ModelSpec model = [] {
      ModelSpec spec;
      spec.n_layers = 1;
      return spec;
    }();
    return model;
  }
};

// A device with the groups for which pick(index) holds, from their bundles.
template <class Pick>
std::unique_ptr<FfnDevice> MakeFfnDevice(const FfnFixture& ffn, ThreadPool& pool, SparsityMode mode,
                                         const std::vector<NeuronGroup>& groups, Pick pick) {
  auto device = std::make_unique<FfnDevice>(ffn, pool);
  std::vector<GroupWeights> weights;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (!pick(g)) continue;
    weights.push_back(*GroupWeights::FromBundle(ffn.spec(), groups[g], ffn.Bundle(groups[g])));
  }
  if (!device->Load(ffn, std::move(weights), mode, pool).ok()) std::abort();
  return device;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_DEVICE_FFN_DEVICE_H_
