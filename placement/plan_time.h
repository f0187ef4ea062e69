#ifndef HEARTH_PLACEMENT_PLAN_TIME_H_
#define HEARTH_PLACEMENT_PLAN_TIME_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "placement/cluster.h"
#include "placement/model.h"

namespace hearth::placement {

// assignment[layer][group] is the number of the device (see ListDevices) that holds the group.
using Assignment = std::vector<std::vector<uint32_t>>;

// The expected time of one layer's FFN: that of its slowest participant.
struct LayerTime {
  double total_us = 0;
  uint32_t slowest_device = 0;
  double compute_us = 0;     // the slowest participant's own work, dispatch included
  double link_us = 0;        // its link; 0 for a device of the leader's host
  uint32_t round_trips = 0;  // remote hosts that take part

  bool operator==(const LayerTime&) const = default;
};

// The expected time of one token: leader_us + the sum of layers[i].total_us.
struct PlanTime {
  double total_us = 0;
  double leader_us = 0;  // attention, norms, output
  double ffn_us = 0;     // the sum over layers
  std::vector<LayerTime> layers;
  double link_us = 0;        // the part of ffn_us in which the slowest participant's link is at work
  uint64_t round_trips = 0;  // per token; those to several hosts in one layer run at the same time

  bool operator==(const PlanTime&) const = default;
};

// The time a device is expected to spend on a group for one token: whichever of reading and computing takes
// longer.
double GroupUs(const Device& device, const Group& group);
// The time a layer's input and partial sum need between the leader and `host`, round trip included.
double LinkUs(const Host& host, const Layer& layer);

// The cost model that planning minimises. One token; a layer lasts as long as its slowest participant, which
// for a device of another host includes the link. A host's devices share one round trip. Cluster and model
// are valid (see ValidateCluster, ValidateModel), `devices` is ListDevices(cluster) and placed[group] a
// number in it.
LayerTime ExpectedLayerTime(const Cluster& cluster, absl::Span<const DeviceRef> devices, const Layer& layer,
                            absl::Span<const uint32_t> placed);
PlanTime ExpectedTime(const Cluster& cluster, const Model& model, const Assignment& assignment);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_PLAN_TIME_H_
