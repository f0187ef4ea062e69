#include "daemon/weights/local_shard.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/device/async_device.h"

namespace hearth {
namespace {

bool SameGroup(const NeuronGroup& a, const NeuronGroup& b) {
  return a.block == b.block && a.neurons == b.neurons;
}

bool Contains(const std::vector<NeuronGroup>& groups, const NeuronGroup& group) {
  return std::any_of(groups.begin(), groups.end(),
                     [&](const NeuronGroup& other) { return SameGroup(group, other); });
}

// The groups that a device is to hold of a layer.
std::vector<const PlacedGroup*> GroupsOn(const ShardLayer& share, const std::string& device) {
  std::vector<const PlacedGroup*> groups;
  for (const PlacedGroup& group : share.groups) {
    if (group.device == device) groups.push_back(&group);
  }
  return groups;
}

const std::vector<NeuronGroup>& GroupsOf(const FfnPiece& piece) {
  return static_cast<const ShardPiece&>(piece).neuron_groups;
}

bool HoldsOnlyWanted(const FfnPiece& piece, const std::vector<const PlacedGroup*>& wanted) {
  return std::all_of(GroupsOf(piece).begin(), GroupsOf(piece).end(), [&](const NeuronGroup& held) {
    return std::any_of(wanted.begin(), wanted.end(),
                       [&](const PlacedGroup* group) { return SameGroup(group->group, held); });
  });
}

}  // namespace

LocalShard::LocalShard(ShardDescription description, HostDevices& devices)
    : description_(std::move(description)), host_(devices) {
  model_.n_layers = description_.layers;
  for (size_t i = 0; i < host_.specs().size(); ++i) {
    auto device =
        std::make_unique<CpuDevice>(host_.specs()[i].name, model_, description_.max_rows, host_.pool(i));
    shard_devices_.push_back(device.get());
    owned_.push_back(std::move(device));
  }
}

LocalShard::~LocalShard() = default;

size_t LocalShard::DeviceIndex(const std::string& name) const {
  size_t index = 0;
  while (index < host_.specs().size() && host_.specs()[index].name != name) ++index;
  return index;
}

absl::Status LocalShard::Check() const {
  std::vector<uint64_t> bytes(host_.specs().size());
  for (const ShardLayer& share : description_.shares) {
    for (const PlacedGroup& group : share.groups) {
      const size_t device = DeviceIndex(group.device);
      if (device == bytes.size()) {
        return absl::InvalidArgumentError(absl::StrCat("this host has no device \"", group.device, "\""));
      }
      bytes[device] += group.bytes;  // cannot overflow: each bundle's size was checked against its layout
    }
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] > host_.specs()[i].memory_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat("device ", host_.specs()[i].name, " is to hold ",
                                                       bytes[i], " bytes of weights, its budget is ",
                                                       host_.specs()[i].memory_bytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

void LocalShard::Adopt(const LocalShard& former) {
  const ShardDescription& other = former.description_;
  if (other.model_digest != description_.model_digest || other.sparsity != description_.sparsity ||
      other.layers != description_.layers) {
    return;
  }
  for (const ShardLayer& share : description_.shares) {
    for (size_t i = 0; i < shard_devices_.size(); ++i) {
      const std::vector<const PlacedGroup*> wanted = GroupsOn(share, shard_devices_[i]->name());
      if (wanted.empty()) continue;
      for (const std::shared_ptr<FfnPiece>& piece : former.shard_devices_[i]->ffn(share.layer)) {
        const bool overlaps =
            std::any_of(GroupsOf(*piece).begin(), GroupsOf(*piece).end(),
                        [&](const NeuronGroup& group) { return Holds(i, share.layer, group); });
        if (!overlaps && HoldsOnlyWanted(*piece, wanted)) shard_devices_[i]->AddFfn(share.layer, piece);
      }
    }
  }
}

bool LocalShard::Holds(size_t device, uint32_t layer, const NeuronGroup& group) const {
  const auto& pieces = shard_devices_[device]->ffn(layer);
  return std::any_of(pieces.begin(), pieces.end(),
                     [&](const auto& piece) { return Contains(GroupsOf(*piece), group); });
}

std::vector<const PlacedGroup*> LocalShard::missing() const {
  std::vector<const PlacedGroup*> missing;
  for (const ShardLayer& share : description_.shares) {
    for (const PlacedGroup& placed : share.groups) {
      const size_t device = DeviceIndex(placed.device);
      if (device < shard_devices_.size() && !Holds(device, share.layer, placed.group))
        missing.push_back(&placed);
    }
  }
  return missing;
}

absl::Status LocalShard::Load(const WeightSource& source, ThreadPool& pool, const Progress& progress) {
  uint64_t bytes_loaded = 0;
  for (const ShardLayer& share : description_.shares) {
    for (size_t i = 0; i < shard_devices_.size(); ++i) {
      HEARTH_RETURN_IF_ERROR(LoadLayer(share, i, source, pool, bytes_loaded));
      if (progress) HEARTH_RETURN_IF_ERROR(progress(bytes_loaded));
    }
  }
  for (size_t i = 0; i < owned_.size(); ++i) {
    if (shard_devices_[i]->empty()) continue;
    if (i > 0) owned_[i] = std::make_unique<AsyncDevice>(std::move(owned_[i]));
    used_.push_back(owned_[i].get());
  }
  set_ = DeviceSet(used_);
  return absl::OkStatus();
}

absl::Status LocalShard::LoadLayer(const ShardLayer& share, size_t device, const WeightSource& source,
                                   ThreadPool& pool, uint64_t& bytes_loaded) {
  CpuDevice& target = *shard_devices_[device];
  std::vector<NeuronGroup> groups;
  std::vector<GroupWeights> weights;
  for (const PlacedGroup* placed : GroupsOn(share, target.name())) {
    bytes_loaded += placed->bytes;
    if (Holds(device, share.layer, placed->group)) continue;
    HEARTH_ASSIGN_OR_RETURN(GroupWeights group, source(share, *placed));
    groups.push_back(placed->group);
    weights.push_back(std::move(group));
  }
  if (groups.empty()) return absl::OkStatus();
  auto piece = std::make_shared<ShardPiece>();
  piece->neuron_groups = std::move(groups);
  HEARTH_ASSIGN_OR_RETURN(piece->shard, MakeCpuShard(share.spec, std::move(weights), description_.sparsity,
                                                     pool, Arithmetic::kFast));
  target.AddFfn(share.layer, std::move(piece));
  return absl::OkStatus();
}

absl::Status LocalShard::Run(const FfnRequest& request, absl::Span<int64_t> sums) {
  MutexLock lock(&host_.compute_mutex());
  set_.Submit(request);
  return set_.Collect(Work::kFfn, sums);
}

}  // namespace hearth
