#ifndef HEARTH_PLACEMENT_PLAN_TIME_H_
#define HEARTH_PLACEMENT_PLAN_TIME_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "placement/cluster.h"
#include "placement/model.h"

namespace hearth::placement {

// assignment[section][group] is the number of the device (see ListDevices) that holds the group.
using Assignment = std::vector<std::vector<uint32_t>>;

// The expected time of one section: that of its slowest participant.
struct SectionTime {
  double total_us = 0;
  uint32_t slowest_device = 0;
  double compute_us = 0;     // the slowest participant's own work, dispatch included
  double link_us = 0;        // its link; 0 for a device of the leader's host
  uint32_t round_trips = 0;  // remote hosts that take part

  bool operator==(const SectionTime&) const = default;
};

// The expected time of one token: leader_us + the sum of sections[i].total_us = leader_us + that of kind_us.
struct PlanTime {
  double total_us = 0;
  double leader_us = 0;                          // norms, routers, predictors
  std::array<double, kGroupKinds> kind_us = {};  // the sums over sections of each kind
  std::vector<SectionTime> sections;
  double link_us = 0;        // the part of it in which the slowest participant's link is at work
  uint64_t round_trips = 0;  // per token; those to several hosts in one section run at the same time

  bool operator==(const PlanTime&) const = default;
};

// The time that the leader's first device is expected to spend on what is in no section.
double LeaderUs(const Cluster& cluster, const Model& model);
// The time a device is expected to spend on a group for one token: whichever of reading and computing takes
// longer, and over a link (0: there is none) returning what is the group's own.
double GroupUs(const Device& device, const Group& group, double link_bytes_per_s);
// Of the link that a host's results take to the leader; 0 for the leader's own host.
double LinkBytesPerSecond(const Cluster& cluster, size_t host);
// Which of the cluster's hosts, the leader's left out, have one of the devices (numbers in `devices`).
std::vector<bool> RemoteHosts(const Cluster& cluster, absl::Span<const DeviceRef> devices,
                              absl::Span<const uint32_t> numbers);
// The time a section's input and partial sum need between the leader and `host`, round trip included, while
// the same travels to and from the others of `remotes` (see RemoteHosts; empty: none): all of it passes the
// leader's network card, which is as fast as its fastest link. 0 for the leader itself.
double LinkUs(const Cluster& cluster, size_t host, const Section& section,
              const std::vector<bool>& remotes = {});

// The cost model that planning minimises. One token; a section lasts as long as its slowest participant,
// which for a device of another host includes the link. A host's devices share one round trip, all hosts that
// take part the leader's network card. Cluster and model are valid (see ValidateCluster, ValidateModel),
// `devices` is ListDevices(cluster) and placed[group] a number in it.
SectionTime ExpectedSectionTime(const Cluster& cluster, absl::Span<const DeviceRef> devices,
                                const Section& section, absl::Span<const uint32_t> placed);
// The same with what it takes of memory.
struct SectionSplit {
  double us = 0;
  std::vector<double> bytes;  // of its groups on each device

  bool operator==(const SectionSplit&) const = default;
};
SectionSplit ExpectedSplit(const Cluster& cluster, absl::Span<const DeviceRef> devices,
                           const Section& section, absl::Span<const uint32_t> placed);
PlanTime ExpectedTime(const Cluster& cluster, const Model& model, const Assignment& assignment);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_PLAN_TIME_H_
