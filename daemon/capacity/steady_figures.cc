#include "daemon/capacity/steady_figures.h"

namespace hearth {
namespace {

constexpr double kTolerance = 1.5;
// Of what is free some is taken and given back all the time.
constexpr double kBudgetTolerance = 1.05;

double Steady(double before, double now) {
  return before > 0 && WithinFactor(before, now, kTolerance) ? before : now;
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
      const auto known_budget = static_cast<double>(known.memory_budget_bytes);
      if (device.memory_budget_bytes >= known.memory_budget_bytes &&
          static_cast<double>(device.memory_budget_bytes) <= known_budget * kBudgetTolerance) {
        device.memory_budget_bytes = known.memory_budget_bytes;
      }
    }
  }
  return steady;
}

}  // namespace hearth
