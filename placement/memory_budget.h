#ifndef HEARTH_PLACEMENT_MEMORY_BUDGET_H_
#define HEARTH_PLACEMENT_MEMORY_BUDGET_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "placement/cluster.h"
#include "placement/model.h"

namespace hearth::placement {

// Bytes that groups may take of each device of ListDevices(cluster): the leader's part comes out of its first
// device, its host has none besides where it only leads, and a disk takes as many as half of its memory has
// the resident bytes of; the other half is for what is read. RESOURCE_EXHAUSTED that says what is missing
// where the first device does not hold the leader's part.
absl::StatusOr<std::vector<uint64_t>> GroupMemory(const Cluster& cluster, const Model& model);

// Why groups do not fit into `memory` (see GroupMemory): RESOURCE_EXHAUSTED with what is missing.
absl::Status DoesNotFit(const Model& model, const std::vector<uint64_t>& memory);

// Whether a device may hold groups of a section at all.
bool MayHold(const Cluster& cluster, const DeviceRef& device, const Section& section);

// Whether a plan is as good after two hosts other than the leader have changed places: they are alike, and so
// are what memory their devices have (see GroupMemory) and what it costs.
bool AreTwins(const Cluster& cluster, absl::Span<const DeviceRef> devices, uint32_t host, uint32_t other,
              absl::Span<const uint64_t> memory_bytes, absl::Span<const double> us_per_byte);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_MEMORY_BUDGET_H_
