#ifndef HEARTH_TESTS_PLACEMENT_EXAMPLES_H_
#define HEARTH_TESTS_PLACEMENT_EXAMPLES_H_

#include <cmath>
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

// What decides the sizes of a model of Llama's kind.
struct LlamaShape {
  uint32_t layers, embedding, feed_forward, head_size, heads, kv_heads, vocabulary;
  double bytes_per_weight = 0.5625;  // Q4_0
  uint32_t neuron_groups = 32;       // of a layer
  uint32_t context = 4096;
};
inline constexpr LlamaShape kLlama7b = {32, 4096, 11008, 128, 32, 32, 32000};
inline constexpr LlamaShape kLlama70b = {80, 8192, 28672, 128, 64, 8, 128256};

// A dense model in one sequence, its cache in F16.
inline Model LlamaModel(const LlamaShape& shape) {
  const auto bytes = [&](double weights) { return static_cast<uint64_t>(weights * shape.bytes_per_weight); };
  const double embedding = shape.embedding;
  const double queries = static_cast<double>(shape.heads) / shape.kv_heads;
  Group heads{.always_bytes = bytes(embedding * shape.head_size * (2 * queries + 2)),
              .operations_per_byte = 2 / shape.bytes_per_weight,
              .cache_bytes = uint64_t{4} * shape.head_size * shape.context};
  heads.cache_read_bytes = static_cast<double>(heads.cache_bytes) / 8;
  const Group neurons{.neurons = shape.feed_forward / shape.neuron_groups,
                      .always_bytes = bytes(3 * embedding * shape.feed_forward / shape.neuron_groups),
                      .operations_per_byte = 2 / shape.bytes_per_weight};
  const Group rows{.always_bytes = bytes(embedding * shape.vocabulary / 64),
                   .operations_per_byte = 2 / shape.bytes_per_weight,
                   .returned_bytes = shape.vocabulary / 16};
  Model model;
  const uint64_t sent = shape.embedding * 9 / 8, returned = uint64_t{4} * shape.embedding;
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    model.sections.push_back(
        {std::vector(shape.kv_heads, heads), sent, returned, {GroupKind::kHeads, layer}});
    model.sections.push_back(
        {std::vector(shape.neuron_groups, neurons), sent, returned, {GroupKind::kNeurons, layer}});
  }
  model.sections.push_back({std::vector(64, rows), sent, 0, {GroupKind::kOutput, 0}});
  model.leader_memory_bytes = bytes(embedding * shape.vocabulary) + 64 * kMiB;
  model.leader_bytes_per_token = uint64_t{8} * shape.embedding * shape.layers;
  return model;
}

// The same with neurons of which few fire often: a power law, every layer one of its own.
inline Model PowerLawModel(const LlamaShape& shape, double exponent = 1) {
  Model model = LlamaModel(shape);
  for (Section& section : model.sections) {
    if (section.name.kind != GroupKind::kNeurons) continue;
    const double steepness = exponent * (0.7 + 0.6 * section.name.layer / shape.layers);
    for (size_t g = 0; g < section.groups.size(); ++g) {
      Group& group = section.groups[g];
      group.firing_bytes = group.always_bytes * 9 / 10;
      group.always_bytes -= group.firing_bytes;
      group.frequency = std::pow(static_cast<double>(g + 1), -steepness);
    }
  }
  return model;
}

// A PC with a GPU of its own in gigabit Ethernet, or faster.
inline Host GamingPc(std::string name, uint64_t gpu_bytes, uint64_t cpu_bytes,
                     double link_bytes_per_s = 1.17e8) {
  return {std::move(name),
          {{"gpu", DeviceKind::kGpu, gpu_bytes, 4e11, 2.5e13, 12},
           {"cpu", DeviceKind::kCpu, cpu_bytes, 4e10, 1e12, 5}},
          {link_bytes_per_s > 2e8 ? 90.0 : 180.0, link_bytes_per_s}};
}

// Groups on a device, over all sections.
inline uint64_t GroupsOn(const Plan& plan, uint32_t device) { return plan.devices[device].groups; }

}  // namespace hearth::placement

#endif  // HEARTH_TESTS_PLACEMENT_EXAMPLES_H_
