#include "daemon/capacity/device_option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace hearth {
namespace {

using ::testing::HasSubstr;

void ExpectOptionRefused(const std::string& text, const std::string& message) {
  const absl::Status status = ParseDeviceOption(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(status.message()), HasSubstr(message)) << text;
}

TEST(ParseByteCountTest, SuffixesOfBothKindsAreKnown) {
  EXPECT_EQ(ParseByteCount("65536").value(), 65536u);
  EXPECT_EQ(ParseByteCount("0").value(), 0u);
  EXPECT_EQ(ParseByteCount("8B").value(), 8u);
  EXPECT_EQ(ParseByteCount("2K").value(), 2000u);
  EXPECT_EQ(ParseByteCount("2k").value(), 2000u);
  EXPECT_EQ(ParseByteCount("2KiB").value(), 2048u);
  EXPECT_EQ(ParseByteCount("1.5GiB").value(), 1610612736u);
  EXPECT_EQ(ParseByteCount("20GB/s").value(), 20000000000u);
  EXPECT_EQ(ParseByteCount("1TiB").value(), uint64_t{1} << 40);
}

TEST(ParseByteCountTest, WhatIsNoByteCountIsRefused) {
  for (const char* text : {"", "GiB", "-1", "-0", "1e3", "nan", "inf", "4 GiB", "4Gi B", "4X", "4KK", "0x10",
                           "99999999999TiB", "1.2.3"}) {
    EXPECT_EQ(ParseByteCount(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ParseDeviceOptionTest, APaceIsTheBandwidthUnlessThatIsToldAsWell) {
  const DeviceOption slow = ParseDeviceOption("a,pace=200M").value();
  EXPECT_EQ(slow.pace_bytes_per_s, 200e6);
  EXPECT_EQ(slow.read_bytes_per_s, 200e6);
  EXPECT_EQ(ParseDeviceOption("a,pace=200M,bandwidth=1G").value().read_bytes_per_s, 1e9);
  EXPECT_EQ(ParseDeviceOption("a,bandwidth=1G").value().pace_bytes_per_s, std::nullopt);
}

TEST(ParseDeviceOptionTest, NameAloneIsACpu) {
  const DeviceOption option = ParseDeviceOption("cpu0").value();
  EXPECT_EQ(option.name, "cpu0");
  EXPECT_EQ(option.kind, placement::DeviceKind::kCpu);
  EXPECT_FALSE(option.memory_bytes || option.threads || option.read_bytes_per_s);
}

TEST(ParseDeviceOptionTest, AllPartsInAnyOrder) {
  const DeviceOption option = ParseDeviceOption("big,bandwidth=20G,threads=2,kind=cpu,memory=4GiB").value();
  EXPECT_EQ(option.memory_bytes, uint64_t{4} << 30);
  EXPECT_EQ(option.threads, 2);
  EXPECT_EQ(option.read_bytes_per_s, 20e9);
}

TEST(ParseDeviceOptionTest, GpuIsAKind) {
  const DeviceOption option = ParseDeviceOption("card,kind=gpu,number=1,memory=8GiB").value();
  EXPECT_EQ(option.kind, placement::DeviceKind::kGpu);
  EXPECT_FALSE(option.emulated);
  EXPECT_EQ(option.number, 1);
  EXPECT_EQ(option.memory_bytes, uint64_t{8} << 30);
  EXPECT_EQ(ParseDeviceOption("card,kind=gpu")->number, 0);
}

TEST(ParseDeviceOptionTest, EmulatedGpuIsAGpu) {
  const DeviceOption option = ParseDeviceOption("card,number=0,kind=emulated-gpu,bandwidth=100G").value();
  EXPECT_EQ(option.kind, placement::DeviceKind::kGpu);
  EXPECT_TRUE(option.emulated);
  EXPECT_EQ(option.read_bytes_per_s, 100e9);
}

TEST(ParseDeviceOptionTest, MistakesAreNamed) {
  ExpectOptionRefused("", "its name comes first");
  ExpectOptionRefused("memory=4GiB", "its name comes first");
  ExpectOptionRefused("a b", "its name comes first");
  ExpectOptionRefused(std::string(65, 'x'), "its name comes first");
  ExpectOptionRefused("a,kind=tpu", "kind is cpu, gpu, emulated-gpu or disk");
  ExpectOptionRefused("a,kind=disk,number=1", "only a gpu has a number");
  ExpectOptionRefused("a,kind=disk,pace=1G", "only a cpu waits to keep a pace");
  ExpectOptionRefused("a,kind=gpu,number=64", "number is that of a GPU, from 0 to 63");
  ExpectOptionRefused("a,kind=gpu,number=-1", "number is that of a GPU");
  ExpectOptionRefused("a,kind=gpu,number=two", "number is that of a GPU");
  ExpectOptionRefused("a,kind=gpu,number=", "number is that of a GPU");
  ExpectOptionRefused("a,number=0", "only a gpu has a number");
  ExpectOptionRefused("a,kind=cpu,number=1", "only a gpu has a number");
  ExpectOptionRefused("a,threads=2,kind=emulated-gpu", "a gpu has no threads");
  ExpectOptionRefused("a,threads=0", "threads is a number from 1 to 1024");
  ExpectOptionRefused("a,threads=two", "threads is a number");
  ExpectOptionRefused("a,memory=lots", "\"lots\" is no number of bytes");
  ExpectOptionRefused("a,bandwidth=0", "bandwidth is more than 0");
  ExpectOptionRefused("a,pace=0", "pace is more than 0");
  ExpectOptionRefused("a,kind=gpu,pace=1G", "only a cpu waits to keep a pace");
  ExpectOptionRefused("a,memory=1G,memory=2G", "\"memory\" is there twice");
  ExpectOptionRefused("a,cores=2", "unknown part \"cores\"");
  ExpectOptionRefused("a,", "unknown part \"\"");
  ExpectOptionRefused("a,kind=gpu,threads=2", "a gpu has no threads");
}

TEST(ParseDeviceOptionsTest, NumberMeansEqualCpus) {
  const std::vector<DeviceOption> options = ParseDeviceOptions("3").value();
  ASSERT_EQ(options.size(), 3u);
  EXPECT_EQ(options[0].name, "cpu0");
  EXPECT_EQ(options[2].name, "cpu2");
}

TEST(ParseDeviceOptionsTest, ListIsSeparatedBySemicolons) {
  const std::vector<DeviceOption> options = ParseDeviceOptions("a,memory=1K;b,threads=2").value();
  ASSERT_EQ(options.size(), 2u);
  EXPECT_EQ(options[0].memory_bytes, 1000u);
  EXPECT_EQ(options[1].threads, 2);
}

TEST(ParseDeviceOptionsTest, BadListsAreRefused) {
  for (const char* spec : {"", ";", "0", "65", "99999999999999999999", "a;", "a;a", "a;b,kind=x"}) {
    EXPECT_EQ(ParseDeviceOptions(spec).status().code(), absl::StatusCode::kInvalidArgument) << spec;
  }
  std::string many = "d0";
  for (int i = 1; i <= 64; ++i) many += ";d" + std::to_string(i);
  EXPECT_THAT(std::string(ParseDeviceOptions(many).status().message()), HasSubstr("65 devices"));
}

}  // namespace
}  // namespace hearth
