#ifndef HEARTH_DAEMON_CAPACITY_STEADY_FIGURES_H_
#define HEARTH_DAEMON_CAPACITY_STEADY_FIGURES_H_

#include "daemon/capacity/capacity.h"
#include "placement/cluster.h"

namespace hearth {

// Measurements differ from run to run, and a plan that followed every difference would move weights for
// nothing: a host that comes back is to get the share that is still in its cache. So a figure that is within
// a factor of four (a busy machine measures that badly) of what the host had before counts as unchanged. Pure
// functions.

// `now` with every such figure replaced by that of the device of the same name, kind and thread count in
// `before`; a memory budget stays as it was where the host now has as much or more.
HostCapacity SteadyCapacity(const HostCapacity& before, const HostCapacity& now);

// Likewise for a link; a `before` that was never measured (all zero) changes nothing.
placement::Link SteadyLink(const placement::Link& before, const placement::Link& now);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_STEADY_FIGURES_H_
