#ifndef HEARTH_DAEMON_CAPACITY_STEADY_FIGURES_H_
#define HEARTH_DAEMON_CAPACITY_STEADY_FIGURES_H_

#include "daemon/capacity/capacity.h"

namespace hearth {

// Whether two positive figures differ by at most the factor.
inline bool WithinFactor(double a, double b, double factor) { return a <= b * factor && b <= a * factor; }

// Measurements differ from run to run, and a plan that followed every difference would move weights for
// nothing: a host that comes back is to get the share that is still in its cache. So a figure that is within
// a factor of 1.5 of what the host had before counts as unchanged; beyond it what the host says now counts. A
// pure function.

// `now` with every such figure replaced by that of the device of the same name, kind and thread count in
// `before`; a memory budget stays as it was where the host now has as much or up to a twentieth more.
HostCapacity SteadyCapacity(const HostCapacity& before, const HostCapacity& now);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_STEADY_FIGURES_H_
