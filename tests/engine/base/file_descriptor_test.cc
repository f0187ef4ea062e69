#include "engine/base/file_descriptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

constexpr std::array<uint8_t, 4> kBytes = {1, 2, 3, 4};

class FileDescriptorTest : public testing::Test {
 protected:
  ~FileDescriptorTest() override { std::filesystem::remove(path_); }

  const std::string path_ = absl::StrCat(testing::TempDir(), "/descriptor-", getpid());
};

TEST_F(FileDescriptorTest, WhatWasWrittenIsRead) {
  ASSERT_TRUE(WriteAll(FileDescriptor(path_, O_WRONLY | O_CREAT).get(), kBytes));
  std::array<uint8_t, 4> read = {};
  EXPECT_TRUE(ReadAll(FileDescriptor(path_, O_RDONLY).get(), absl::MakeSpan(read)));
  EXPECT_EQ(read, kBytes);
}

TEST_F(FileDescriptorTest, AFileThatEndsBeforeWhatIsAskedForIsNotRead) {
  ASSERT_TRUE(WriteAll(FileDescriptor(path_, O_WRONLY | O_CREAT).get(), kBytes));
  std::array<uint8_t, 5> read = {};
  EXPECT_FALSE(ReadAll(FileDescriptor(path_, O_RDONLY).get(), absl::MakeSpan(read)));
}

TEST_F(FileDescriptorTest, AFileThatIsNotThereSaysSo) {
  const FileDescriptor file(path_, O_RDONLY);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_FALSE(file.ok());
}

TEST_F(FileDescriptorTest, AFullDiskSaysSo) {
  const FileDescriptor full("/dev/full", O_WRONLY);
  ASSERT_TRUE(full.ok());
  EXPECT_FALSE(WriteAll(full.get(), kBytes));
  EXPECT_EQ(errno, ENOSPC);
}

TEST_F(FileDescriptorTest, OneThatWentOutOfScopeIsClosed) {
  int number = -1;
  {
    const FileDescriptor file(path_, O_WRONLY | O_CREAT);
    number = file.get();
    ASSERT_NE(fcntl(number, F_GETFD), -1);
  }
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace hearth
