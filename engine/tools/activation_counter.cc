#include "engine/tools/activation_counter.h"

#include <cmath>

namespace hearth {

ActivationCounter::ActivationCounter(absl::Span<const FfnLayerSpec> layers, float threshold)
    : threshold_(threshold), layers_(layers.size()) {
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::vector<uint32_t>& blocks = layers[i].block_neurons;
    layers_[i].routed = blocks.size() > 1;
    const size_t counts = blocks.size() == 1 ? blocks[0] : blocks.size();
    layers_[i].counts = std::vector<std::atomic<uint64_t>>(counts);
  }
}

void ActivationCounter::OnRequest(const FfnRequest& request) {
  Layer& layer = layers_[request.layer];
  layer.tokens += request.rows;
  if (!layer.routed) return;
  for (const BlockChoice& choice : request.choices) {
    if (choice.weight != 0) ++layer.counts[choice.block];
  }
}

void ActivationCounter::OnHidden(const FfnRequest& request, uint32_t block, uint32_t row,
                                 absl::Span<const uint32_t> ids, const float* h) {
  Layer& layer = layers_[request.layer];
  if (layer.routed) return;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (std::abs(h[i]) > threshold_) layer.counts[ids[i]].fetch_add(1, std::memory_order_relaxed);
  }
}

std::vector<std::vector<float>> ActivationCounter::Shares() const {
  std::vector<std::vector<float>> shares(layers_.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i].tokens == 0) continue;
    for (const std::atomic<uint64_t>& count : layers_[i].counts) {
      shares[i].push_back(
          static_cast<float>(static_cast<double>(count) / static_cast<double>(layers_[i].tokens)));
    }
  }
  return shares;
}

}  // namespace hearth
