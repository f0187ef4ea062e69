#ifndef HEARTH_DAEMON_CAPACITY_SHARED_MACHINE_H_
#define HEARTH_DAEMON_CAPACITY_SHARED_MACHINE_H_

#include <cstdint>

#include "daemon/capacity/capacity.h"

namespace hearth {

// Bytes that the CPU devices of a host offer for weights.
uint64_t OfferedBytes(const HostCapacity& capacity);

// Takes from the budgets of the CPU devices, the last first, what is more than the machine has beside the
// `taken_bytes` that its other daemons offer already: a machine's memory is there once. A machine of unknown
// memory is left alone.
void OfferWhatIsLeft(uint64_t taken_bytes, HostCapacity& capacity);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_SHARED_MACHINE_H_
