#include "daemon/capacity/steady_figures.h"

namespace hearth {
namespace {

constexpr double kTolerance = 4;

double Steady(double before, double now) {
  return before > 0 && now <= before * kTolerance && now * kTolerance >= before ? before : now;
}

}  // namespace

HostCapacity SteadyCapacity(const HostCapacity& before, const HostCapacity& now) {
  HostCapacity steady = now;
  for (DeviceCapacity& device : steady.devices) {
    for (const DeviceCapacity& known : before.devices) {
      if (known.name != device.name || known.kind != device.kind || known.threads != device.threads) continue;
      device.read_bytes_per_s = Steady(known.read_bytes_per_s, device.read_bytes_per_s);
      device.operations_per_s = Steady(known.operations_per_s, device.operations_per_s);
      device.dispatch_us = Steady(known.dispatch_us, device.dispatch_us);
      if (device.memory_budget_bytes >= known.memory_budget_bytes) {
        device.memory_budget_bytes = known.memory_budget_bytes;
      }
    }
  }
  return steady;
}

placement::Link SteadyLink(const placement::Link& before, const placement::Link& now) {
  return {Steady(before.round_trip_us, now.round_trip_us), Steady(before.bytes_per_s, now.bytes_per_s)};
}

}  // namespace hearth
