#ifndef HEARTH_TESTS_PLACEMENT_EXAMPLES_H_
#define HEARTH_TESTS_PLACEMENT_EXAMPLES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "placement/cluster.h"
#include "placement/model.h"
#include "placement/plan.h"

namespace hearth::placement {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;

// Reads 1 byte per nanosecond, so that 1000 bytes take 1 us; arithmetic is no limit.
inline Device Cpu(std::string name, uint64_t memory_bytes = kGiB, double bytes_per_ns = 1) {
  return {std::move(name), DeviceKind::kCpu, memory_bytes, bytes_per_ns * 1e9, 1e15, 0};
}

inline Device Gpu(std::string name, uint64_t memory_bytes, double bytes_per_ns = 10) {
  return {std::move(name), DeviceKind::kGpu, memory_bytes, bytes_per_ns * 1e9, 1e15, 0};
}

// A link whose transfer time is nothing beside its round trip.
inline Host RemoteHost(std::string name, std::vector<Device> devices, double round_trip_us) {
  return {std::move(name), std::move(devices), {round_trip_us, 1e15}};
}

inline Host LeaderHost(std::string name, std::vector<Device> devices) {
  return {std::move(name), std::move(devices), {}};
}

// A group of 16 neurons.
inline Group DenseGroup(uint64_t bytes, double frequency = 1) { return {16, 0, bytes, frequency, 2}; }

// Layers of equal groups that every token reads.
inline Model DenseModel(size_t layers, size_t groups, uint64_t group_bytes) {
  Model model;
  model.layers.assign(layers, Layer{std::vector<Group>(groups, DenseGroup(group_bytes)), 4096, 8192});
  return model;
}

// Layers whose groups fire with the given frequencies.
inline Model SparseModel(size_t layers, const std::vector<double>& frequencies, uint64_t group_bytes) {
  Model model;
  Layer layer{{}, 4096, 8192};
  for (double frequency : frequencies) layer.groups.push_back(DenseGroup(group_bytes, frequency));
  model.layers.assign(layers, layer);
  return model;
}

// Groups on a device, over all layers.
inline uint64_t GroupsOn(const Plan& plan, uint32_t device) { return plan.devices[device].groups; }

}  // namespace hearth::placement

#endif  // HEARTH_TESTS_PLACEMENT_EXAMPLES_H_
