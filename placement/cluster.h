#ifndef HEARTH_PLACEMENT_CLUSTER_H_
#define HEARTH_PLACEMENT_CLUSTER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

// Placement decides which device holds which neuron groups. It is a library of pure functions from measured
// figures to a plan: no clock, no thread, no file, no network. Describe the machines (cluster.h) and the
// model (model.h), ask for a plan (plan.h), read it aloud (explain.h).
namespace hearth::placement {

// A disk is a processor of its host that reads neurons from the host's disk when they fire: slow, and large.
enum class DeviceKind { kCpu, kGpu, kDisk };
// "cpu", "gpu" or "disk".
std::string_view DeviceKindName(DeviceKind kind);
// The kind of that name.
std::optional<DeviceKind> DeviceKindOf(std::string_view name);

// A device as measured with the engine's own kernels. The figures are those that it reaches while all devices
// of its host work at once: CPU devices that share one memory are described by their shares of its bandwidth.
struct Device {
  std::string name;  // unique within its host
  DeviceKind kind = DeviceKind::kCpu;
  uint64_t memory_bytes = 0;    // what weights may take of it; of a disk, what it takes of its host's memory
  double read_bytes_per_s = 0;  // weights, read once in order
  double operations_per_s = 0;  // multiplications and additions
  double dispatch_us =
      0;  // handing it a section and getting its partial sum: thread hand-over, kernel launch
};

// The network between a host and the leader.
struct Link {
  double round_trip_us = 0;
  double bytes_per_s = 0;

  bool operator==(const Link&) const = default;
};

struct Host {
  std::string name;  // unique in the cluster
  std::vector<Device> devices;
  Link link;  // of no meaning for the leader
};

// Whether two hosts are alike but for their names and memory.
bool SameFigures(const Host& a, const Host& b);

// The leader runs attention, norms and output on its first device and asks all devices for the FFNs.
struct Cluster {
  std::vector<Host> hosts;
  size_t leader = 0;               // index into hosts
  bool leader_only_leads = false;  // no groups go to its host: the owner wants it for something else
};

// A device of a cluster. Plans number devices host by host, in the order of the description.
struct DeviceRef {
  uint32_t host = 0;
  uint32_t device = 0;

  bool operator==(const DeviceRef&) const = default;
};
// All devices in the order in which plans number them.
std::vector<DeviceRef> ListDevices(const Cluster& cluster);

// INVALID_ARGUMENT that names the host, the device and the figure which cannot be: no leader, a leader
// without devices, names that are empty or not unique, figures that are not finite, not positive (bandwidths,
// operations) or negative (times).
absl::Status ValidateCluster(const Cluster& cluster);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_CLUSTER_H_
