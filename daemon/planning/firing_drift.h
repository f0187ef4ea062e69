#ifndef HEARTH_DAEMON_PLANNING_FIRING_DRIFT_H_
#define HEARTH_DAEMON_PLANNING_FIRING_DRIFT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "daemon/cluster_view.h"
#include "engine/device/device.h"
#include "engine/outline/model_outline.h"

namespace hearth {

// How often a model's neuron groups fire while it serves, from what its devices have seen, beside what its
// profile says. What a device says of groups that the model does not have counts for nothing. Pure. Not
// thread-safe.
class FiringDrift {
 public:
  // `outline` outlives this.
  explicit FiringDrift(const ModelOutline& outline);

  void Add(absl::Span<const LayerFiring> seen);

  // nullopt while nothing is known.
  std::optional<FiringView> View() const;

 private:
  struct Group {
    double profiled = 0, seen = 0;  // neurons that fire for a row, on average
    double neurons = 0;
  };

  const ModelOutline& outline_;
  bool profiled_ = true;       // all of groups_
  uint64_t rows_ = 0;          // of the group of which the fewest were looked at
  std::vector<Group> groups_;  // that were seen
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_FIRING_DRIFT_H_
