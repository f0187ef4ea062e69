#include "daemon/capacity/capacity.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

DeviceOption Option(const std::string& name, std::optional<int> threads = {}) {
  DeviceOption option;
  option.name = name;
  option.threads = threads;
  return option;
}

TEST(ChooseDevices, WithoutOptionsThereIsOneCpuWithAllThreads) {
  const auto devices = ChooseDevices({}, 6);
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 1);
  EXPECT_EQ(devices->front().name, "cpu");
  EXPECT_EQ(devices->front().threads, 6);
  EXPECT_GT(devices->front().memory_bytes, 0);
}

TEST(ChooseDevices, ThreadsThatAreLeftAreSharedOut) {
  const auto devices = ChooseDevices({Option("a", 3), Option("b"), Option("c")}, 8);
  ASSERT_TRUE(devices.ok()) << devices.status();
  EXPECT_EQ((*devices)[0].threads, 3);
  EXPECT_EQ((*devices)[1].threads + (*devices)[2].threads, 5);
}

TEST(ChooseDevices, EveryDeviceHasAThreadEvenWhereCoresAreFew) {
  const auto devices = ChooseDevices({Option("a"), Option("b"), Option("c")}, 1);
  ASSERT_TRUE(devices.ok()) << devices.status();
  for (const HostDeviceSpec& device : *devices) EXPECT_EQ(device.threads, 1);
}

TEST(ChooseDevices, GpuIsRefusedInPlainWords) {
  DeviceOption option = Option("g");
  option.kind = placement::DeviceKind::kGpu;
  EXPECT_EQ(ChooseDevices({option}, 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(MeasureHost, EveryDeviceHasASpeedAndGivenBandwidthIsTaken) {
  DeviceOption given = Option("given");
  given.read_bytes_per_s = 123e9;
  const HostCapacity host =
      MeasureHost({{"measured", 1, 1000}, {"given", 1, 2000}}, {Option("measured"), given});
  ASSERT_GE(host.devices.size(), 2);
  EXPECT_GT(host.devices[0].read_bytes_per_s, 1e7);
  EXPECT_GT(host.devices[0].operations_per_s, 1e7);
  EXPECT_GE(host.devices[0].dispatch_us, 0);
  EXPECT_EQ(host.devices[1].read_bytes_per_s, 123e9);
  EXPECT_EQ(host.devices[1].memory_budget_bytes, 2000);
  EXPECT_GT(host.cores, 0);
}

TEST(UpdateFreeBytes, FillsInWhatTheMachineHas) {
  HostCapacity capacity;
  UpdateFreeBytes("/", capacity);
  EXPECT_GT(capacity.memory_bytes, 0);
  EXPECT_LE(capacity.memory_free_bytes, capacity.memory_bytes);
  UpdateFreeBytes("/no/such/directory", capacity);
  EXPECT_EQ(capacity.disk_free_bytes, 0);
}

}  // namespace
}  // namespace hearth
