#ifndef HEARTH_PLACEMENT_SECTION_SPLIT_H_
#define HEARTH_PLACEMENT_SECTION_SPLIT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "placement/cluster.h"
#include "placement/model.h"

namespace hearth::placement {

// A device that may take a share of one section.
struct Participant {
  uint32_t device = 0;  // its number in the plan
  const Device* figures = nullptr;
  double overhead_us = 0;       // what its answer takes before any weight is read: link and dispatch
  uint64_t memory_bytes = 0;    // what it may hold of this section
  double link_bytes_per_s = 0;  // of what groups return; 0: no link
};

// Shares out one section's groups so that the slowest participant is as fast as the heuristic can make it;
// returns the device number of each group, or nullopt when it finds no way to fit the groups into the memory
// offered.
//
// The section's time is found by bisection: within a time T each participant has room for (T - overhead) of
// work and for its memory. Groups are dealt out hottest first (most expected bytes per byte of memory), and
// the participant that can do most work per byte of its memory is served first: so a GPU with little memory
// fills up with the hottest groups and the cold rest goes where there is room. A participant whose overhead
// alone is longer than T gets nothing.
std::optional<std::vector<uint32_t>> SplitSection(const Section& section,
                                                  absl::Span<const Participant> participants);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_SECTION_SPLIT_H_
