#include "daemon/planning/local_devices.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/neuron/async_device.h"
#include "engine/neuron/bundle.h"
#include "engine/neuron/group_weights.h"

namespace hearth {
namespace {

void ReleasePages(const GgufFile& file, const FfnLayerSource& source) {
  for (const FfnBlockSource& block : source.blocks) {
    for (const WeightSlice* slice : {&block.gate, &block.up, &block.down, &block.predictor}) {
      if (slice->tensor != nullptr) file.Release(slice->tensor->data);
    }
  }
}

absl::StatusOr<uint64_t> BytesOf(const Model& model, uint32_t layer, const std::vector<uint32_t>& groups) {
  uint64_t bytes = 0;
  for (uint32_t g : groups) {
    HEARTH_ASSIGN_OR_RETURN(const BundleLayout layout,
                            MakeBundleLayout(model.ffn_specs()[layer], model.neuron_groups()[layer][g]));
    bytes += layout.bytes;
  }
  return bytes;
}

}  // namespace

DeviceShare ShareOf(const placement::Assignment& assignment, uint32_t device) {
  DeviceShare share(assignment.size());
  for (size_t layer = 0; layer < assignment.size(); ++layer) {
    for (uint32_t g = 0; g < assignment[layer].size(); ++g) {
      if (assignment[layer][g] == device) share[layer].push_back(g);
    }
  }
  return share;
}

struct LocalDevices::Slot {
  std::unique_ptr<ThreadPool> own_pool;  // null for the first device
  ThreadPool* pool = nullptr;
  std::unique_ptr<FfnDevice> device;  // a CpuDevice, or an AsyncDevice around one
  CpuDevice* cpu = nullptr;           // inside `device`
  DeviceShare held;
};

LocalDevices::LocalDevices(absl::Span<const LocalDeviceSpec> specs, ThreadPool& leader_pool, uint32_t layers,
                           SparsityMode sparsity, Arithmetic arithmetic)
    : leader_pool_(leader_pool) {
  HEARTH_CHECK(!specs.empty());
  for (const LocalDeviceSpec& spec : specs) {
    auto slot = std::make_unique<Slot>();
    const bool first = slots_.empty();
    if (!first) slot->own_pool = std::make_unique<ThreadPool>(spec.threads);
    slot->pool = first ? &leader_pool : slot->own_pool.get();
    auto cpu = std::make_unique<CpuDevice>(spec.name, *slot->pool, layers, sparsity, arithmetic);
    slot->cpu = cpu.get();
    if (first) {
      slot->device = std::move(cpu);
    } else {
      slot->device = std::make_unique<AsyncDevice>(std::move(cpu));
    }
    slot->held.resize(layers);
    slots_.push_back(std::move(slot));
  }
}

LocalDevices::~LocalDevices() = default;

absl::Status LocalDevices::Load(const Model& model, absl::Span<const DeviceShare> shares,
                                const Progress& progress) {
  HEARTH_CHECK(shares.size() == slots_.size());
  uint64_t done = 0, total = 0;
  for (size_t s = 0; s < slots_.size(); ++s) {
    HEARTH_CHECK(shares[s].size() == slots_[s]->held.size());
    for (uint32_t layer = 0; layer < shares[s].size(); ++layer) {
      if (shares[s][layer] == slots_[s]->held[layer]) continue;
      // Freed at once, so that what moves from one device to another is never in memory on both.
      slots_[s]->cpu->DropLayer(layer);
      slots_[s]->held[layer].clear();
      HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, BytesOf(model, layer, shares[s][layer]));
      total += bytes;
    }
  }
  for (uint32_t layer = 0; layer < model.spec().n_layers; ++layer) {
    bool read = false;
    for (size_t s = 0; s < slots_.size(); ++s) {
      if (shares[s][layer] == slots_[s]->held[layer]) continue;
      HEARTH_RETURN_IF_ERROR(LoadLayer(model, layer, shares[s][layer], *slots_[s]));
      HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, BytesOf(model, layer, shares[s][layer]));
      done += bytes;
      read = true;
    }
    if (!read) continue;
    ReleasePages(model.file(), model.ffn_sources()[layer]);
    if (progress) progress(done, total);
  }
  return absl::OkStatus();
}

absl::Status LocalDevices::LoadLayer(const Model& model, uint32_t layer, const std::vector<uint32_t>& groups,
                                     Slot& slot) {
  const FfnLayerSpec& spec = model.ffn_specs()[layer];
  std::vector<GroupWeights> weights;
  for (uint32_t g : groups) {
    HEARTH_ASSIGN_OR_RETURN(GroupWeights group, GroupWeights::FromFile(spec, model.ffn_sources()[layer],
                                                                       model.neuron_groups()[layer][g]));
    weights.push_back(std::move(group));
  }
  if (const absl::Status status = slot.cpu->LoadLayer(layer, spec, std::move(weights)); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat("layer ", layer, ": ", status.message()));
  }
  slot.held[layer] = groups;
  return absl::OkStatus();
}

std::vector<FfnDevice*> LocalDevices::devices() const {
  std::vector<FfnDevice*> devices;
  for (const auto& slot : slots_) devices.push_back(slot->device.get());
  return devices;
}

uint64_t LocalDevices::weight_bytes() const {
  uint64_t bytes = 0;
  for (const auto& slot : slots_) bytes += slot->cpu->weight_bytes();
  return bytes;
}

}  // namespace hearth
