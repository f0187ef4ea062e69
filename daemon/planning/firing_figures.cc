#include "daemon/planning/firing_figures.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "daemon/capacity/steady_figures.h"

namespace hearth {
namespace {

constexpr double kMovedShare = 0.1;
constexpr double kFiringFactor = 1.25;

// A group's neurons that fire for a token, on average.
struct Firing {
  double planned = 0, seen = 0;
};

bool IsFar(absl::Span<const Firing> groups) {
  Firing all;
  for (const Firing& group : groups) {
    all.planned += group.planned;
    all.seen += group.seen;
  }
  if (all.planned <= 0 || all.seen <= 0) return false;
  double moved = 0;
  for (const Firing& group : groups) {
    moved += std::abs(group.seen / all.seen - group.planned / all.planned) / 2;
  }
  return moved > kMovedShare || !WithinFactor(all.seen, all.planned, kFiringFactor);
}

}  // namespace

void FiringFigures::Note(const placement::Model& planned, absl::Span<const LayerFiring> seen) {
  std::map<std::pair<uint32_t, uint32_t>, double> now;
  for (const LayerFiring& layer : seen) {
    if (layer.rows < kEnoughRows) return;
    for (size_t i = 0; i < std::min(layer.groups.size(), layer.shares.size()); ++i) {
      now[{layer.layer, layer.groups[i]}] = layer.shares[i];
    }
  }
  std::vector<Firing> firing;
  for (const placement::Section& section : planned.sections) {
    if (section.name.kind != placement::GroupKind::kNeurons) continue;
    for (uint32_t g = 0; g < section.groups.size(); ++g) {
      const auto found = now.find({section.name.layer, g});
      if (found == now.end()) continue;
      const auto neurons = static_cast<double>(section.groups[g].neurons);
      firing.push_back({section.groups[g].frequency * neurons, found->second * neurons});
    }
  }
  if (!IsFar(firing)) return;
  for (const auto& [group, frequency] : now) frequencies_[group] = frequency;
  ++version_;
}

void FiringFigures::Apply(placement::Model& model) const {
  for (placement::Section& section : model.sections) {
    if (section.name.kind != placement::GroupKind::kNeurons) continue;
    for (uint32_t g = 0; g < section.groups.size(); ++g) {
      const auto found = frequencies_.find({section.name.layer, g});
      if (found != frequencies_.end()) section.groups[g].frequency = found->second;
    }
  }
}

}  // namespace hearth
