#include "daemon/capacity/capacity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/process_limits.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

DeviceOption Option(const std::string& name, std::optional<int> threads = {}) {
  DeviceOption option;
  option.name = name;
  option.threads = threads;
  return option;
}

DeviceOption Gpu(const std::string& name, std::optional<uint64_t> memory_bytes = {}) {
  DeviceOption option = Option(name);
  option.kind = placement::DeviceKind::kGpu;
  option.emulated = true;
  option.memory_bytes = memory_bytes;
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

TEST(ChooseDevices, MoreMemoryThanTheMachineHasIsRefused) {
  const uint64_t memory = ReadProcessLimits().memory_bytes;
  DeviceOption half = Option("a"), rest = Option("b");
  half.memory_bytes = memory / 2;
  rest.memory_bytes = memory - memory / 2;
  EXPECT_TRUE(ChooseDevices({half, rest}, 2).ok());
  ++*rest.memory_bytes;
  const absl::Status status = ChooseDevices({half, rest}, 2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device b: memory="));
  EXPECT_THAT(std::string(status.message()), HasSubstr("that this machine has for it"));
}

DeviceOption Disk(const std::string& name, std::optional<uint64_t> memory_bytes = {}) {
  DeviceOption option = Option(name);
  option.kind = placement::DeviceKind::kDisk;
  option.memory_bytes = memory_bytes;
  return option;
}

TEST(ChooseDevices, DiskStandsBehindTheCpuAndHasAThreadAndMemoryOfTheMachine) {
  const auto devices = ChooseDevices({Disk("disk")}, 6);
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 2);
  EXPECT_EQ((*devices)[0].name, "cpu");
  EXPECT_EQ((*devices)[0].threads, 6);
  EXPECT_FALSE((*devices)[0].uses_disk);
  EXPECT_TRUE((*devices)[1].uses_disk);
  EXPECT_EQ((*devices)[1].threads, 1);
  EXPECT_EQ((*devices)[1].memory_bytes, (*devices)[0].memory_bytes);
  const uint64_t memory = ReadProcessLimits().memory_bytes;
  EXPECT_EQ(ChooseDevices({Disk("disk", memory + 1)}, 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(MeasureHost, DiskComputesAsOneThreadOfTheCpuAndReadsAsItsModelsFileDoes) {
  const std::vector<DeviceOption> options = {Disk("disk", 1 << 20)};
  const HostCapacity host = MeasureHost(*ChooseDevices(options, 2), options);
  ASSERT_EQ(host.devices.size(), 2);
  EXPECT_EQ(host.devices[1].kind, "disk");
  EXPECT_EQ(host.devices[1].read_bytes_per_s, 0);
  EXPECT_EQ(host.devices[1].operations_per_s, host.devices[0].operations_per_s / 2);
}

TEST(ChooseDevices, GpuThatIsNotThereIsNamed) {
  DeviceOption option = Gpu("card");
  option.emulated = false;
  option.number = 63;
  const absl::Status status = ChooseDevices({option}, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device card: "));
}

TEST(ChooseDevices, NameOfTheCpuThatIsAddedIsNoGpus) {
  const absl::Status status = ChooseDevices({Gpu("cpu")}, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device cpu"));
}

class EmulatedGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    if (gpu::CountGpus(gpu::GpuKind::kEmulated, &why) == 0) GTEST_SKIP() << why;
  }
};

TEST_F(EmulatedGpu, IsOpenedWithItsBudgetBehindTheCpus) {
  const auto devices = ChooseDevices({Gpu("card", 8000000), Option("a", 2), Option("b")}, 4);
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 3);
  EXPECT_EQ((*devices)[0].name, "a");
  EXPECT_EQ((*devices)[1].name, "b");
  EXPECT_EQ((*devices)[1].threads, 2);  // a GPU takes none
  EXPECT_EQ((*devices)[2].name, "card");
  ASSERT_NE((*devices)[2].gpu, nullptr);
  EXPECT_EQ((*devices)[2].gpu->budget_bytes(), 8000000);
  EXPECT_EQ((*devices)[2].memory_bytes, 8000000);
}

TEST_F(EmulatedGpu, AloneHasACpuBesideIt) {
  const auto devices = ChooseDevices({Gpu("card", 8000000)}, 3);
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 2);
  EXPECT_EQ((*devices)[0].name, "cpu");
  EXPECT_EQ((*devices)[0].gpu, nullptr);
  EXPECT_EQ((*devices)[0].threads, 3);
  EXPECT_GT((*devices)[0].memory_bytes, 0);
}

TEST_F(EmulatedGpu, OffersNineTenthsOfItsMemoryUnlessToldAndNoMoreThanItHas) {
  std::string why;
  const uint64_t free_bytes = gpu::OpenGpu(gpu::GpuKind::kEmulated, 0, &why)->info().free_bytes;
  const auto devices = ChooseDevices({Gpu("card")}, 1);
  ASSERT_TRUE(devices.ok()) << devices.status();
  EXPECT_EQ(devices->back().memory_bytes, free_bytes / 10 * 9);
  const absl::Status status = ChooseDevices({Gpu("card", uint64_t{1} << 60)}, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device card: "));
}

TEST_F(EmulatedGpu, IsMeasuredAndLeavesNothingBehind) {
  const std::vector<DeviceOption> options = {Option("cpu", 1), Gpu("card", 8000000)};
  const auto devices = ChooseDevices(options, 1);
  ASSERT_TRUE(devices.ok()) << devices.status();
  const HostCapacity host = MeasureHost(*devices, options);
  ASSERT_EQ(host.devices.size(), 2);
  EXPECT_EQ(host.devices[1].kind, "emulated-gpu");
  EXPECT_EQ(host.devices[1].threads, 0);
  EXPECT_EQ(host.devices[1].memory_budget_bytes, 8000000);
  EXPECT_GT(host.devices[1].read_bytes_per_s, 0);
  EXPECT_GT(host.devices[1].operations_per_s, 0);
  EXPECT_GT(host.devices[1].dispatch_us, 0);
  EXPECT_EQ((*devices)[1].gpu->used_bytes(), 0);
}

TEST_F(EmulatedGpu, WithABandwidthStandsForACardThatIsAsMuchFasterInAll) {
  std::vector<DeviceOption> options = {Option("cpu", 1), Gpu("card", 8000000)};
  const auto devices = ChooseDevices(options, 1);
  ASSERT_TRUE(devices.ok()) << devices.status();
  const double measured = MeasureHost(*devices, options).devices[1].operations_per_s;
  options[1].read_bytes_per_s = 1e12;  // no emulator is nearly as fast
  const HostCapacity host = MeasureHost(*devices, options);
  EXPECT_EQ(host.devices[1].read_bytes_per_s, 1e12);
  EXPECT_GT(host.devices[1].operations_per_s, 10 * measured);
}

TEST_F(EmulatedGpu, ThatCannotBeMeasuredHasNoSpeedWhateverIsSaidOfIt) {
  std::vector<DeviceOption> options = {Option("cpu", 1), Gpu("card", 4096)};
  options[1].read_bytes_per_s = 1e12;
  const auto devices = ChooseDevices(options, 1);
  ASSERT_TRUE(devices.ok()) << devices.status();
  const HostCapacity host = MeasureHost(*devices, options);
  EXPECT_EQ(host.devices[1].read_bytes_per_s, 0);
  EXPECT_EQ(host.devices[1].memory_budget_bytes, 4096);
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
