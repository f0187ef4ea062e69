#ifndef HEARTH_DAEMON_PLANNING_MEMORY_CLAIMS_H_
#define HEARTH_DAEMON_PLANNING_MEMORY_CLAIMS_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "daemon/planning/cluster_plan.h"

namespace hearth {

// Who waits for whose memory while plans change, and who ends it where some wait for one another. Pure.

// What a model has of the devices' memory.
struct MemoryClaim {
  ReservedBytes budgets;   // of the devices that its plans may use: of all models together
  ReservedBytes reserved;  // by the plan that it is to have
  ReservedBytes held;      // by the plans that are loaded
  bool waits = false;      // for room for what it has reserved
};

// A device on which claim `number` finds no room yet for what it has reserved, beside what the others have
// reserved or still hold there; nullopt: none.
std::optional<DeviceName> FullDevice(const std::vector<MemoryClaim>& claims, size_t number);

// Of claims that wait for one another the one that gives up what it holds: the last of the list; nullopt:
// each waits for somebody who does not wait. One that has given up is in nobody's way, so each does so once
// at most.
std::optional<size_t> WhoGivesUp(const std::vector<MemoryClaim>& claims);

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_MEMORY_CLAIMS_H_
