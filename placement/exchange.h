#ifndef HEARTH_PLACEMENT_EXCHANGE_H_
#define HEARTH_PLACEMENT_EXCHANGE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "placement/cluster.h"
#include "placement/model.h"
#include "placement/plan_time.h"

namespace hearth::placement {

// Makes an assignment faster by small steps as long as one is found: a group moves to another device, and
// where that device is full a group of another section makes room for it. This is what evens out sections
// that were placed one after the other. `free_bytes` (per device) is kept up to date; `may_take(section,
// device)` says where groups may go. The effort is bounded: large models get the steps that are found first.
void ImproveByExchange(const Cluster& cluster, const Model& model,
                       const std::function<bool(size_t section, uint32_t device)>& may_take,
                       Assignment& assignment, std::vector<uint64_t>& free_bytes);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_EXCHANGE_H_
