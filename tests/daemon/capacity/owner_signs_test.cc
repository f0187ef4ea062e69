#include "daemon/capacity/owner_signs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

// A machine under a directory of its own.
class OwnerSignsTest : public ::testing::Test {
 protected:
  OwnerSignsTest()
      : root_(absl::StrCat(::testing::TempDir(), "owner-", ::getpid(), "-",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(root_);
  }
  ~OwnerSignsTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& content) {
    const std::filesystem::path file(root_ + path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << content;
  }
  // Ticks since the start: of all programs, of them with "nice", idle, and of this one.
  void SpendTicks(int busy, int nice, int idle, int own) {
    Write("/proc/stat", absl::StrCat("cpu  ", busy, " ", nice, " 0 ", idle, " 0 0 0 0 0 0\ncpu0 1 2 3 4\n"));
    Write("/proc/self/stat",
          absl::StrCat("7 (a (program) ) S 1 1 1 0 -1 0 0 0 0 0 ", own, " 0 0 0 20 0 9 0\n"));
  }

  const std::string root_;
};

TEST_F(OwnerSignsTest, MachineThatTellsNothingShowsNoSigns) {
  OwnerWatch watch(root_);
  const OwnerSigns signs = watch.Look();
  EXPECT_FALSE(signs.on_battery);
  EXPECT_FALSE(signs.lid_closed);
  EXPECT_EQ(signs.gpu_share, 0);
  EXPECT_EQ(signs.cpu_share, 0);
  EXPECT_EQ(signs.memory_stall, 0);
  EXPECT_FALSE(watch.HasDisplay());
}

TEST_F(OwnerSignsTest, ProcessorsOfOtherProgramsCountSinceTheLastLook) {
  SpendTicks(1000, 500, 8000, 900);
  OwnerWatch watch(root_);
  SpendTicks(1150, 550, 8100, 1000);  // of 300 ticks 100 are its own, 50 of nice programs, 50 of others
  EXPECT_DOUBLE_EQ(watch.Look().cpu_share, 50.0 / 300);
  EXPECT_EQ(watch.Look().cpu_share, 0) << "nothing since then";
}

TEST_F(OwnerSignsTest, FiguresThatGoBackwardsAreNoSign) {
  SpendTicks(1000, 0, 8000, 900);
  OwnerWatch watch(root_);
  SpendTicks(10, 0, 9000, 5);
  EXPECT_EQ(watch.Look().cpu_share, 0);
}

TEST_F(OwnerSignsTest, BatteryCountsWhereNoPowerIsConnected) {
  Write("/sys/class/power_supply/BAT0/type", "Battery\n");
  Write("/sys/class/power_supply/AC/type", "Mains\n");
  Write("/sys/class/power_supply/AC/online", "0\n");
  OwnerWatch watch(root_);
  EXPECT_TRUE(watch.Look().on_battery);
  Write("/sys/class/power_supply/AC/online", "1\n");
  EXPECT_FALSE(watch.Look().on_battery);
}

TEST_F(OwnerSignsTest, BatteryOfAMouseIsNotTheMachines) {
  Write("/sys/class/power_supply/hid/type", "Battery\n");
  Write("/sys/class/power_supply/hid/scope", "Device\n");
  EXPECT_FALSE(OwnerWatch(root_).Look().on_battery);
}

TEST_F(OwnerSignsTest, ClosedLidIsSeen) {
  Write("/proc/acpi/button/lid/LID0/state", "state:      closed\n");
  OwnerWatch watch(root_);
  EXPECT_TRUE(watch.Look().lid_closed);
  Write("/proc/acpi/button/lid/LID0/state", "state:      open\n");
  EXPECT_FALSE(watch.Look().lid_closed);
}

TEST_F(OwnerSignsTest, BusiestGraphicsCardCounts) {
  Write("/sys/class/drm/card0/device/gpu_busy_percent", "3\n");
  Write("/sys/class/drm/card1/device/gpu_busy_percent", "87\n");
  EXPECT_DOUBLE_EQ(OwnerWatch(root_).Look().gpu_share, 0.87);
}

TEST_F(OwnerSignsTest, WaitingForMemoryIsSeenAndNonsenseIsNot) {
  Write("/proc/pressure/memory", "some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00\n");
  OwnerWatch watch(root_);
  EXPECT_DOUBLE_EQ(watch.Look().memory_stall, 0.125);
  Write("/proc/pressure/memory", "some avg10=much\n");
  EXPECT_EQ(watch.Look().memory_stall, 0);
}

TEST_F(OwnerSignsTest, DisplayIsOneThatIsConnected) {
  Write("/sys/class/drm/card0-HDMI-A-1/status", "disconnected\n");
  EXPECT_FALSE(OwnerWatch(root_).HasDisplay());
  Write("/sys/class/drm/card0-eDP-1/status", "connected\n");
  EXPECT_TRUE(OwnerWatch(root_).HasDisplay());
}

}  // namespace
}  // namespace hearth
