#ifndef HEARTH_DAEMON_WEIGHTS_SHARD_DESCRIPTION_H_
#define HEARTH_DAEMON_WEIGHTS_SHARD_DESCRIPTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/sha256.h"
#include "engine/attention/decoder_options.h"
#include "engine/device/host_share.h"
#include "engine/outline/model_outline.h"
#include "engine/outline/unit_id.h"

namespace hearth {

// What a bundle is known by.
struct BundleId {
  Sha256Digest sha256{};
  uint64_t bytes = 0;

  bool operator==(const BundleId&) const = default;
};

// A unit and which device of a host holds it.
struct PlacedUnit {
  std::string device;
  UnitId unit;
  BundleId bundle;  // zeros on the coordinator's own host, which needs none

  bool operator==(const PlacedUnit&) const = default;
};

// Which units of a model one host holds under one plan: hearth.v1.Shard as a struct.
struct ShardDescription {
  uint64_t epoch = 0;
  std::string model;         // name
  std::string model_digest;  // "sha256:..."
  BundleId skeleton;         // see engine/file/gguf_skeleton.h
  ModelOptions options;
  DecoderOptions decoder;
  std::vector<PlacedUnit> units;

  // Of all bundles, the skeleton included.
  uint64_t bytes() const;
};

// The units by device, in the order of `devices`. INVALID_ARGUMENT for a device that is not among them, for a
// unit that the model does not have or that is there twice, and for a bundle of another size than the
// outline's.
absl::StatusOr<std::vector<DeviceShare>> SharesOf(absl::Span<const PlacedUnit> units,
                                                  const ModelOutline& outline,
                                                  absl::Span<const HostDeviceSpec> devices);

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_SHARD_DESCRIPTION_H_
