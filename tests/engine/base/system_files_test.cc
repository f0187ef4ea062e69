#include "engine/base/system_files.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

namespace fs = std::filesystem;

class SystemFilesTest : public testing::Test {
 protected:
  SystemFilesTest() : root_(fs::path(testing::TempDir()) / absl::StrCat("system-files-", getpid())) {
    fs::create_directories(root_ / "proc");
  }
  ~SystemFilesTest() override { fs::remove_all(root_); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / "proc" / name) << text;
  }

  const fs::path root_;
  const SystemFiles files_{root_.string()};
};

TEST_F(SystemFilesTest, FilesAreReadAsTextsWordsAndNamedValues) {
  Write("info", " one two\nMemTotal:  16 kB\nMax open files   1024  2048\nMemTotalOther: 3\n");
  EXPECT_TRUE(files_.Exists("/proc/info"));
  EXPECT_EQ(files_.Text("/proc/info").substr(0, 9), " one two\n");
  EXPECT_EQ(files_.Word("/proc/info"), "one");
  EXPECT_EQ(files_.Named("/proc/info", "MemTotal"), "16 kB");
  EXPECT_EQ(files_.Named("/proc/info", "Max open files"), "1024  2048");
  EXPECT_EQ(files_.Named("/proc/info", "MemFree"), "");
}

TEST_F(SystemFilesTest, NamesComeInTheirOrder) {
  Write("b2", "");
  Write("a", "");
  Write("b1", "");
  fs::create_symlink("../../drivers/nvidia", root_ / "proc/driver");
  EXPECT_THAT(files_.Names("/proc"), ElementsAre("a", "b1", "b2", "driver"));
  EXPECT_THAT(files_.Names("/proc", "b"), ElementsAre("b1", "b2"));
  EXPECT_EQ(files_.LinkedName("/proc/driver"), "nvidia");
}

TEST_F(SystemFilesTest, WhatIsNotThereIsEmpty) {
  EXPECT_FALSE(files_.Exists("/no"));
  EXPECT_EQ(files_.Text("/no"), "");
  EXPECT_EQ(files_.Text("/proc"), "") << "a directory";
  EXPECT_EQ(files_.Word("/no"), "");
  EXPECT_EQ(files_.LinkedName("/proc"), "");
  EXPECT_THAT(files_.Names("/no"), IsEmpty());
}

TEST_F(SystemFilesTest, LongFilesAreCut) {
  Write("long", std::string(3 << 20, 'x'));
  EXPECT_EQ(files_.Text("/proc/long").size(), 1 << 20);
}

}  // namespace
}  // namespace hearth
