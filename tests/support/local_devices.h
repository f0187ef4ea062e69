#ifndef HEARTH_TESTS_SUPPORT_LOCAL_DEVICES_H_
#define HEARTH_TESTS_SUPPORT_LOCAL_DEVICES_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/status_macros.h"
#include "engine/model/model.h"
#include "engine/neuron/cpu_device.h"
#include "engine/neuron/group_weights.h"

namespace hearth {

// CPU devices that share a model's neuron groups: group i of every layer lies on device i mod count.
class LocalDevices {
 public:
  static absl::StatusOr<LocalDevices> Make(const Model& model, int count, ThreadPool& pool) {
    LocalDevices local;
    const uint32_t layers = model.spec().n_layers;
    for (int d = 0; d < count; ++d) {
      local.devices_.push_back(std::make_unique<CpuDevice>(
          "cpu" + std::to_string(d), pool, layers, model.options().sparsity, model.options().arithmetic));
      for (uint32_t layer = 0; layer < layers; ++layer) {
        HEARTH_RETURN_IF_ERROR(LoadShare(model, layer, d, count, *local.devices_.back()));
      }
    }
    return local;
  }

  std::vector<FfnDevice*> pointers() const {
    std::vector<FfnDevice*> pointers;
    for (const auto& device : devices_) pointers.push_back(device.get());
    return pointers;
  }
  CpuDevice& device(size_t i) { return *devices_[i]; }

 private:
  static absl::Status LoadShare(const Model& model, uint32_t layer, size_t d, size_t count,
                                CpuDevice& device) {
    const FfnLayerSpec& spec = model.ffn_specs()[layer];
    std::vector<GroupWeights> weights;
    const std::vector<NeuronGroup>& all = model.neuron_groups()[layer];
    for (size_t g = d; g < all.size(); g += count) {
      HEARTH_ASSIGN_OR_RETURN(GroupWeights group,
                              GroupWeights::FromFile(spec, model.ffn_sources()[layer], all[g]));
      weights.push_back(std::move(group));
    }
    if (weights.empty()) return absl::OkStatus();
    return device.LoadLayer(layer, spec, std::move(weights));
  }

  std::vector<std::unique_ptr<CpuDevice>> devices_;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_SUPPORT_LOCAL_DEVICES_H_
