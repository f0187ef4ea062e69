#include "engine/base/process_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMib = 1 << 20;

// A machine of 16 GiB, 12 of them available, under a directory of its own.
class ProcessLimitsTest : public ::testing::Test {
 protected:
  ProcessLimitsTest()
      : root_(absl::StrCat(::testing::TempDir(), "limits-",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(root_);
    Write("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   12582912 kB\n");
  }
  ~ProcessLimitsTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& content) {
    const std::filesystem::path file(root_ + path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << content;
  }
  // The process is in this group of version 2.
  void EnterUnified(const std::string& group) {
    Write("/proc/self/cgroup", "0::" + group + "\n");
    Write("/proc/self/mountinfo",
          "24 1 8:1 / / rw - ext4 /dev/sda rw\n30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  }
  // And in this one of version 1, of which the mount shows what lies below `shown`.
  void EnterVersion1(const std::string& group, const std::string& shown = "/") {
    Write("/proc/self/cgroup",
          absl::StrCat("9:name=systemd:/x\n4:memory:", group, "\n2:cpu,cpuacct:", group, "\n"));
    Write("/proc/self/mountinfo",
          absl::StrCat("33 30 0:31 ", shown,
                       " /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n34 30 0:32 ", shown,
                       " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"));
  }
  ProcessLimits Read() const { return ReadProcessLimits(root_); }

  const std::string root_;
};

TEST_F(ProcessLimitsTest, WithoutControlGroupsTheMachineIsTheLimit) {
  const ProcessLimits limits = Read();
  EXPECT_GE(limits.threads, 1);
  EXPECT_EQ(limits.memory_bytes, 16384 * kMib);
  EXPECT_EQ(limits.memory_free_bytes, 12288 * kMib);
  EXPECT_EQ(limits.text, absl::StrCat(limits.threads, " threads, 16.0 GiB of memory"));
}

TEST_F(ProcessLimitsTest, GroupsWithoutLimitsDoNotLimit) {
  const int threads = Read().threads;
  EnterUnified("/a");
  Write("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/a/memory.max", "max\n");
  EXPECT_EQ(Read().threads, threads);
  EXPECT_FALSE(Read().cpu_time_is_limited);
  EXPECT_EQ(Read().memory_bytes, 16384 * kMib);
  EnterVersion1("/a");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Read().threads, threads);
  EXPECT_EQ(Read().memory_bytes, 16384 * kMib);
}

TEST_F(ProcessLimitsTest, QuotaOfCpuTimeIsRoundedUp) {
  EnterUnified("/a");
  Write("/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
  EXPECT_EQ(Read().threads, 1);
  EXPECT_THAT(Read().text, HasSubstr("1 threads (CPU quota 0.5 of"));
  EXPECT_TRUE(Read().cpu_time_is_limited);
  EnterVersion1("/a");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "20000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Read().threads, 1);
}

TEST_F(ProcessLimitsTest, MemoryLimitOfVersion2LessWhatIsUsedWithoutThePageCache) {
  EnterUnified("/a/b");
  Write("/sys/fs/cgroup/a/b/memory.max", absl::StrCat(1024 * kMib));
  Write("/sys/fs/cgroup/a/b/memory.current", absl::StrCat(700 * kMib));
  Write("/sys/fs/cgroup/a/b/memory.stat",
        absl::StrCat("anon 1\nfile 2\ninactive_file ", 400 * kMib, "\nactive_file ", 100 * kMib, "\n"));
  EXPECT_EQ(Read().memory_bytes, 1024 * kMib);
  EXPECT_EQ(Read().memory_free_bytes, 824 * kMib);
  EXPECT_THAT(Read().text,
              HasSubstr("1.0 GiB of memory (limit of its control group; the machine has 16.0 GiB)"));
}

TEST_F(ProcessLimitsTest, NarrowestGroupOfThoseAboveCounts) {
  EnterUnified("/a/b");
  Write("/sys/fs/cgroup/a/memory.max", absl::StrCat(512 * kMib));
  Write("/sys/fs/cgroup/a/memory.current", absl::StrCat(500 * kMib));
  Write("/sys/fs/cgroup/a/b/memory.max", absl::StrCat(1024 * kMib));
  Write("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
  EXPECT_EQ(Read().memory_bytes, 512 * kMib);
  EXPECT_EQ(Read().memory_free_bytes, 12 * kMib);
  EXPECT_EQ(Read().threads, 1);
}

TEST_F(ProcessLimitsTest, MemoryLimitOfVersion1InAContainerThatSeesOnlyItsOwnGroup) {
  EnterVersion1("/docker/123", "/docker/123");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", absl::StrCat(2048 * kMib));
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", absl::StrCat(1000 * kMib));
  Write("/sys/fs/cgroup/memory/memory.stat", absl::StrCat("inactive_file 1\ntotal_inactive_file ", 200 * kMib,
                                                          "\ntotal_active_file ", 48 * kMib, "\n"));
  EXPECT_EQ(Read().memory_bytes, 2048 * kMib);
  EXPECT_EQ(Read().memory_free_bytes, 1296 * kMib);
}

TEST_F(ProcessLimitsTest, MoreUsedThanTheLimitLeavesNothing) {
  EnterUnified("/");
  Write("/sys/fs/cgroup/memory.max", absl::StrCat(100 * kMib));
  Write("/sys/fs/cgroup/memory.current", absl::StrCat(200 * kMib));
  EXPECT_EQ(Read().memory_free_bytes, 0);
}

TEST_F(ProcessLimitsTest, FilesThatMakeNoSenseDoNotLimit) {
  const ProcessLimits whole = Read();
  EnterUnified("/a");
  Write("/sys/fs/cgroup/a/cpu.max", "0 0\n");
  Write("/sys/fs/cgroup/a/memory.max", "lots\n");
  EXPECT_EQ(Read(), whole);
  Write("/proc/self/cgroup", "\n::\nnonsense");
  Write("/proc/self/mountinfo", "a b c\n - \n");
  EXPECT_EQ(Read(), whole);
}

TEST(ProcessLimitsOfThisProcessTest, AreThereAndNoLargerThanTheMachine) {
  const ProcessLimits limits = ReadProcessLimits();
  EXPECT_GE(limits.threads, 1);
  EXPECT_GT(limits.memory_bytes, 0);
  EXPECT_LE(limits.memory_free_bytes, limits.memory_bytes);
}

}  // namespace
}  // namespace hearth
