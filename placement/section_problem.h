#ifndef HEARTH_PLACEMENT_SECTION_PROBLEM_H_
#define HEARTH_PLACEMENT_SECTION_PROBLEM_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "placement/cluster.h"
#include "placement/model.h"
#include "placement/plan_time.h"

namespace hearth::placement {

// One section that is split over the devices of a cluster to optimality, while memory has a price. Groups
// with the same figures are interchangeable: only how many of them a device has is decided.
class SectionProblem {
 public:
  // All borrowed; `memory_bytes` per device, see GroupMemory.
  SectionProblem(const Cluster& cluster, absl::Span<const DeviceRef> devices, const Section& section,
                 absl::Span<const uint64_t> memory_bytes);

  struct Solution {
    double lowest_us = 0;   // no split's time and price are less together
    bool finished = false;  // false: the limit of nodes came first
    std::optional<SectionSplit> best;
  };
  // `us_per_byte`: the price of each device's memory, not negative.
  Solution Solve(absl::Span<const double> us_per_byte, int max_nodes) const;

 private:
  struct GroupClass {
    Group figures;
    int count = 0;
  };
  struct Columns;

  const Cluster& cluster_;
  absl::Span<const DeviceRef> devices_;
  const Section& section_;
  absl::Span<const uint64_t> memory_bytes_;
  std::vector<GroupClass> classes_;
};

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_SECTION_PROBLEM_H_
