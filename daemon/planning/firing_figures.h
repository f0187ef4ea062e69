#ifndef HEARTH_DAEMON_PLANNING_FIRING_FIGURES_H_
#define HEARTH_DAEMON_PLANNING_FIRING_FIGURES_H_

#include <cstdint>
#include <map>
#include <utility>

#include "absl/types/span.h"
#include "engine/device/device.h"
#include "placement/model.h"

namespace hearth {

// How often a model's neuron groups fire, for plans: what was planned with until devices have seen, over
// kEnoughRows rows of every layer that they count, something that is far from it. Far means that a tenth of
// all firing falls to other groups, or that a quarter more or less fires; so figures do not follow every
// text. Groups themselves, and so results, are those of the profile for ever. Pure. Not thread-safe.
class FiringFigures {
 public:
  static constexpr uint64_t kEnoughRows = 512;

  // What devices see now, beside `planned`, the model with the figures of the last Apply.
  void Note(const placement::Model& planned, absl::Span<const LayerFiring> seen);
  // Sets the frequencies of the groups of which there are figures.
  void Apply(placement::Model& model) const;
  // Grows whenever figures change.
  uint64_t version() const { return version_; }

 private:
  std::map<std::pair<uint32_t, uint32_t>, double> frequencies_;  // by layer and group
  uint64_t version_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_FIRING_FIGURES_H_
