#include "daemon/capacity/steady_figures.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

HostCapacity OneDevice(double bytes_per_s, uint32_t threads = 4, uint64_t budget = 1000) {
  DeviceCapacity device;
  device.name = "cpu";
  device.threads = threads;
  device.memory_budget_bytes = budget;
  device.read_bytes_per_s = bytes_per_s;
  device.operations_per_s = 1e9;
  device.dispatch_us = 5;
  HostCapacity capacity;
  capacity.devices = {device};
  return capacity;
}

TEST(SteadyFigures, ASlightlyOtherMeasurementCountsAsUnchanged) {
  EXPECT_EQ(SteadyCapacity(OneDevice(10e9), OneDevice(13e9)), OneDevice(10e9));
  EXPECT_EQ(SteadyCapacity(OneDevice(10e9), OneDevice(7e9)), OneDevice(10e9));
}

TEST(SteadyFigures, AMuchOtherMeasurementIsTaken) {
  EXPECT_EQ(SteadyCapacity(OneDevice(10e9), OneDevice(16e9)), OneDevice(16e9));
  EXPECT_EQ(SteadyCapacity(OneDevice(10e9), OneDevice(6e9)), OneDevice(6e9));
}

TEST(SteadyFigures, ADeviceWithOtherThreadsIsANewOne) {
  EXPECT_EQ(SteadyCapacity(OneDevice(10e9, 4), OneDevice(13e9, 8)), OneDevice(13e9, 8));
}

TEST(SteadyFigures, ADeviceOfAnotherKindIsANewOne) {
  HostCapacity emulated = OneDevice(10e9, 0);
  emulated.devices[0].kind = "emulated-gpu";
  HostCapacity gpu = OneDevice(13e9, 0);
  gpu.devices[0].kind = "gpu";
  EXPECT_EQ(SteadyCapacity(emulated, gpu), gpu);
}

TEST(SteadyFigures, ABudgetIsWhatTheHostSaysNowUnlessItIsALittleMore) {
  EXPECT_EQ(SteadyCapacity(OneDevice(10e9, 4, 1000), OneDevice(10e9, 4, 900)), OneDevice(10e9, 4, 900));
  EXPECT_EQ(SteadyCapacity(OneDevice(10e9, 4, 1000), OneDevice(10e9, 4, 1040)), OneDevice(10e9, 4, 1000));
  EXPECT_EQ(SteadyCapacity(OneDevice(10e9, 4, 1000), OneDevice(10e9, 4, 2000)), OneDevice(10e9, 4, 2000));
}

}  // namespace
}  // namespace hearth
