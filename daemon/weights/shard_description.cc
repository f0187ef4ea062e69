#include "daemon/weights/shard_description.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

std::string NameOf(const UnitId& unit) {
  switch (unit.kind) {
    case UnitKind::kHeads:
      return absl::StrCat("head group ", unit.number, " of layer ", unit.layer);
    case UnitKind::kNeurons:
      return absl::StrCat("neuron group ", unit.number, " of layer ", unit.layer);
    case UnitKind::kOutput:
      return absl::StrCat("run ", unit.number, " of output rows");
    case UnitKind::kLayer:
      return absl::StrCat("layer ", unit.layer, " to lead");
  }
  return "unknown unit";
}

}  // namespace

uint64_t ShardDescription::bytes() const {
  uint64_t bytes = skeleton.bytes;
  for (const PlacedUnit& placed : units) bytes += placed.bundle.bytes;
  return bytes;
}

absl::StatusOr<std::vector<DeviceShare>> SharesOf(absl::Span<const PlacedUnit> units,
                                                  const ModelOutline& outline,
                                                  absl::Span<const HostDeviceSpec> devices) {
  std::map<UnitId, size_t> device_of;  // in the order that shares want
  for (const PlacedUnit& placed : units) {
    const auto device = std::find_if(devices.begin(), devices.end(),
                                     [&](const HostDeviceSpec& spec) { return spec.name == placed.device; });
    if (device == devices.end()) {
      return absl::InvalidArgumentError(absl::StrCat("this host has no device \"", placed.device, "\""));
    }
    if (!outline.Has(placed.unit)) {
      return absl::InvalidArgumentError(absl::StrCat("the model has no ", NameOf(placed.unit)));
    }
    if (!device_of.emplace(placed.unit, device - devices.begin()).second) {
      return absl::InvalidArgumentError(absl::StrCat(NameOf(placed.unit), " is placed twice"));
    }
    if (placed.bundle == BundleId()) continue;
    HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes, outline.BundleBytes(placed.unit));
    if (placed.bundle.bytes != bytes) {
      return absl::InvalidArgumentError(absl::StrCat("a bundle of ", placed.bundle.bytes, " bytes for ",
                                                     NameOf(placed.unit), ", which has ", bytes));
    }
  }
  std::vector<DeviceShare> shares(devices.size(), DeviceShare::Nothing(outline.spec.n_layers));
  for (const auto& [unit, device] : device_of) shares[device].Add(unit);
  return shares;
}

}  // namespace hearth
