#include "engine/neuron/neuron_group.h"

#include <algorithm>
#include <numeric>

#include "engine/base/check.h"

namespace hearth {
namespace {

// The smallest group width: keeps the conversion to fixed point, once per group and output, a small share of
// the work.
constexpr uint32_t kMinGroupNeurons = 32;
// Kernels multiply `down` in strips of so many columns. Groups that are about as wide are whole strips: one
// that ends inside of a strip costs decoding a fifth of its speed.
constexpr uint32_t kStripNeurons = 256;

uint32_t RoundUp(uint32_t value, uint32_t multiple) { return (value + multiple - 1) / multiple * multiple; }

uint32_t GroupWidth(const FfnLayerSpec& spec, uint32_t neurons, uint32_t max_groups) {
  if (spec.block_neurons.size() > 1) return neurons;  // an expert
  const uint32_t even = std::max(kMinGroupNeurons, (neurons + max_groups - 1) / max_groups);
  const bool strips = !spec.neuron_major && even >= kStripNeurons / 2;
  return RoundUp(even, std::max(strips ? kStripNeurons : kMinGroupNeurons, spec.neuron_alignment()));
}

float MeanFrequency(const std::vector<uint32_t>& neurons, absl::Span<const float> frequencies) {
  if (frequencies.empty()) return 1;
  double sum = 0;
  for (uint32_t neuron : neurons) sum += frequencies[neuron];
  return static_cast<float>(sum / static_cast<double>(neurons.size()));
}

}  // namespace

std::vector<NeuronGroup> MakeNeuronGroups(const FfnLayerSpec& spec, absl::Span<const float> frequencies,
                                          uint32_t max_groups) {
  HEARTH_CHECK(max_groups > 0);
  std::vector<NeuronGroup> groups;
  size_t first_of_block = 0;
  for (uint32_t block = 0; block < spec.block_neurons.size(); ++block) {
    const uint32_t neurons = spec.block_neurons[block];
    const absl::Span<const float> block_frequencies =
        frequencies.empty() ? frequencies : frequencies.subspan(first_of_block, neurons);
    first_of_block += neurons;

    std::vector<uint32_t> order(neurons);
    std::iota(order.begin(), order.end(), 0u);
    if (!block_frequencies.empty() && spec.neuron_alignment() == 1) {
      std::stable_sort(order.begin(), order.end(),
                       [&](uint32_t a, uint32_t b) { return block_frequencies[a] > block_frequencies[b]; });
    }
    const uint32_t width = GroupWidth(spec, neurons, max_groups);
    for (uint32_t begin = 0; begin < neurons; begin += width) {
      const uint32_t end = std::min(neurons, begin + width);
      NeuronGroup group;
      group.block = block;
      group.neurons.assign(order.begin() + begin, order.begin() + end);
      // Rising ids inside a group: rows are read in the order in which the file has them.
      std::sort(group.neurons.begin(), group.neurons.end());
      group.frequency = MeanFrequency(group.neurons, block_frequencies);
      groups.push_back(std::move(group));
    }
  }
  return groups;
}

}  // namespace hearth
