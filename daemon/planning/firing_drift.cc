#include "daemon/planning/firing_drift.h"

#include <algorithm>

namespace hearth {
namespace {

// Of all firing: what the groups have together that are called hot.
constexpr double kHotMass = 0.8;

}  // namespace

FiringDrift::FiringDrift(const ModelOutline& outline) : outline_(outline) {}

void FiringDrift::Add(absl::Span<const LayerFiring> seen) {
  for (const LayerFiring& layer : seen) {
    if (layer.layer >= outline_.neuron_groups.size() || layer.groups.size() != layer.shares.size()) continue;
    const std::vector<NeuronGroup>& groups = outline_.neuron_groups[layer.layer];
    profiled_ &= !outline_.profile.frequencies[layer.layer].empty();
    for (size_t i = 0; i < layer.groups.size(); ++i) {
      if (layer.groups[i] >= groups.size()) continue;
      const NeuronGroup& group = groups[layer.groups[i]];
      const auto neurons = static_cast<double>(group.neurons.size());
      groups_.push_back({group.frequency * neurons, layer.shares[i] * neurons, neurons});
      rows_ = groups_.size() == 1 ? layer.rows : std::min(rows_, layer.rows);
    }
  }
}

std::optional<FiringView> FiringDrift::View() const {
  Group all;
  for (const Group& group : groups_) {
    all.neurons += group.neurons;
    all.profiled += group.profiled;
    all.seen += group.seen;
  }
  if (all.neurons == 0) return std::nullopt;
  FiringView view{rows_, all.seen / all.neurons, 0, 0};
  if (!profiled_ || all.profiled == 0 || all.seen == 0) return view;
  std::vector<Group> hottest = groups_;
  std::stable_sort(hottest.begin(), hottest.end(), [](const Group& a, const Group& b) {
    return a.profiled * b.neurons > b.profiled * a.neurons;
  });
  for (const Group& group : hottest) {
    if (view.hot_share_expected >= kHotMass) break;
    view.hot_share_expected += group.profiled / all.profiled;
    view.hot_share_seen += group.seen / all.seen;
  }
  return view;
}

}  // namespace hearth
