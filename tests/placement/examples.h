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

// As many layers' FFNs.
inline Model ModelOf(size_t layers, const Section& ffn) {
  Model model;
  model.sections.assign(layers, ffn);
  for (uint32_t layer = 0; layer < layers; ++layer) model.sections[layer].name.layer = layer;
  return model;
}

// FFNs of equal groups that every token reads.
inline Model DenseModel(size_t layers, size_t groups, uint64_t group_bytes) {
  return ModelOf(layers, Section{std::vector<Group>(groups, DenseGroup(group_bytes)), 4096, 8192});
}

// FFNs whose groups fire with the given frequencies.
inline Model SparseModel(size_t layers, const std::vector<double>& frequencies, uint64_t group_bytes) {
  Section ffn{{}, 4096, 8192};
  for (double frequency : frequencies) ffn.groups.push_back(DenseGroup(group_bytes, frequency));
  return ModelOf(layers, ffn);
}

// Layers with attention and FFN, and an output head.
inline Model WholeModel(size_t layers, size_t groups, uint64_t group_bytes) {
  Model model;
  const std::vector<Group> same(groups, DenseGroup(group_bytes));
  std::vector<Group> heads = same;
  for (Group& group : heads) {
    group.neurons = 0;
    group.cache_bytes = group_bytes / 4;
  }
  std::vector<Group> rows = heads;
  for (Group& group : rows) group.cache_bytes = 0;
  for (uint32_t layer = 0; layer < layers; ++layer) {
    model.sections.push_back({heads, 4096, 8192, {GroupKind::kHeads, layer}});
    model.sections.push_back({same, 4096, 8192, {GroupKind::kNeurons, layer}});
  }
  model.sections.push_back({rows, 4096, 0, {GroupKind::kOutput, 0}});
  return model;
}

// Groups on a device, over all sections.
inline uint64_t GroupsOn(const Plan& plan, uint32_t device) { return plan.devices[device].groups; }

}  // namespace hearth::placement

#endif  // HEARTH_TESTS_PLACEMENT_EXAMPLES_H_
