#include "daemon/planning/device_speeds.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

const DeviceSpeeds::Device kCpu = {"a", "cpu"};

class DeviceSpeedsTest : public ::testing::Test {
 protected:
  // Half of six seconds' work at so many bytes per second.
  void Work(double bytes_per_s, uint64_t epoch = 1) {
    bytes_ += static_cast<uint64_t>(bytes_per_s * 3);
    ns_ += 3'000'000'000;
    now_ += std::chrono::seconds(6);
    speeds_.Note(kCpu, epoch, bytes_, ns_, now_);
  }
  double Figure() const { return speeds_.BytesPerSecond(kCpu).value_or(0); }

  DeviceSpeeds speeds_;
  uint64_t bytes_ = 0, ns_ = 0;
  DeviceSpeeds::Clock::time_point now_{std::chrono::seconds(1)};
};

TEST_F(DeviceSpeedsTest, TwoWindowsThatAgreeGiveAFigure) {
  Work(1e10);  // the counters' start
  Work(1e10);
  EXPECT_EQ(Figure(), 0);
  Work(1.1e10);
  EXPECT_NEAR(Figure(), 1.1e10, 1e3);
  EXPECT_EQ(speeds_.version(), 1u);
}

TEST_F(DeviceSpeedsTest, OneSlowWindowChangesNothing) {
  for (int i = 0; i < 3; ++i) Work(1e10);
  Work(1e9);
  Work(1e10);
  Work(1e9);
  EXPECT_NEAR(Figure(), 1e10, 1e3);
  EXPECT_EQ(speeds_.version(), 1u);
}

TEST_F(DeviceSpeedsTest, HostThatBecomesSlowAndFastAgainChangesItsFigureOnceEachWay) {
  for (int i = 0; i < 5; ++i) Work(1e10);
  for (int i = 0; i < 5; ++i) Work(4e9);
  EXPECT_NEAR(Figure(), 4e9, 1e3);
  for (int i = 0; i < 5; ++i) Work(1e10);
  EXPECT_NEAR(Figure(), 1e10, 1e3);
  EXPECT_EQ(speeds_.version(), 3u);
}

TEST_F(DeviceSpeedsTest, LittleWorkOrAMomentIsNoWindow) {
  Work(1e10);
  for (int i = 0; i < 10; ++i) {
    bytes_ += 1000;
    ns_ += 1000;
    now_ += std::chrono::seconds(6);
    speeds_.Note(kCpu, 1, bytes_, ns_, now_);
  }
  EXPECT_EQ(Figure(), 0);
  for (int i = 0; i < 10; ++i) {
    bytes_ += 1'000'000'000;
    ns_ += 100'000'000;
    now_ += std::chrono::milliseconds(100);
    speeds_.Note(kCpu, 1, bytes_, ns_, now_);
  }
  EXPECT_EQ(Figure(), 0);
}

TEST_F(DeviceSpeedsTest, CountersOfAnotherPlanBeginAnew) {
  for (int i = 0; i < 3; ++i) Work(1e10);
  bytes_ = ns_ = 0;
  Work(2e9, 2);
  Work(2e9, 2);
  EXPECT_NEAR(Figure(), 1e10, 1e3);
  Work(2e9, 2);
  EXPECT_NEAR(Figure(), 2e9, 1e3);
}

TEST_F(DeviceSpeedsTest, UnusedHostIsForgottenAfterAWhileAUsedOneIsNot) {
  for (int i = 0; i < 3; ++i) Work(1e10);
  speeds_.ForgetUnused({"a"}, now_ + std::chrono::minutes(60));
  EXPECT_GT(Figure(), 0);
  speeds_.ForgetUnused({}, now_ + std::chrono::minutes(4));
  EXPECT_GT(Figure(), 0);
  speeds_.ForgetUnused({}, now_ + std::chrono::minutes(6));
  EXPECT_EQ(Figure(), 0);
  EXPECT_EQ(speeds_.version(), 2u);
}

}  // namespace
}  // namespace hearth
