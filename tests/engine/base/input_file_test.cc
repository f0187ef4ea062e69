#include "engine/base/input_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "engine/base/output_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::HasSubstr;

std::string Path(const std::string& name) { return testing::TempDir() + "hearth-input-" + name; }

void ExpectError(const std::string& path, absl::StatusCode code, const std::string& message) {
  const auto text = ReadInputFile(path, 100);
  EXPECT_EQ(text.status().code(), code) << text.status();
  EXPECT_THAT(std::string(text.status().message()), HasSubstr(message));
  EXPECT_THAT(std::string(text.status().message()), HasSubstr(path));
}

TEST(ReadInputFileTest, GivesTheWholeContent) {
  const std::string text("a\nb\0c", 5);
  ASSERT_TRUE(WriteFile(Path("text"), text, Replace::kRegularFile).ok());
  EXPECT_EQ(ReadInputFile(Path("text"), 5).value(), text);
}

TEST(ReadInputFileTest, AnEmptyFileIsAnEmptyText) {
  ASSERT_TRUE(WriteFile(Path("empty"), "", Replace::kRegularFile).ok());
  EXPECT_EQ(ReadInputFile(Path("empty"), 0).value(), "");
}

TEST(ReadInputFileTest, WhatIsNoRegularFileIsNamed) {
  ExpectError(testing::TempDir(), absl::StatusCode::kInvalidArgument, "is a directory");
  ExpectError("/dev/zero", absl::StatusCode::kInvalidArgument, "is not a regular file");
  std::filesystem::remove(Path("fifo"));
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  ExpectError(Path("fifo"), absl::StatusCode::kInvalidArgument, "is not a regular file");
}

TEST(ReadInputFileTest, AMissingFileIsNotFound) {
  ExpectError(Path("missing"), absl::StatusCode::kNotFound, "No such file or directory");
}

TEST(ReadInputFileTest, AFileWithoutReadPermissionIsNamed) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  ASSERT_TRUE(WriteFile(Path("secret"), "x", Replace::kRegularFile).ok());
  chmod(Path("secret").c_str(), 0);
  ExpectError(Path("secret"), absl::StatusCode::kPermissionDenied, "Permission denied");
}

TEST(ReadInputFileTest, ALargerFileThanWantedIsRefusedUnread) {
  ASSERT_TRUE(WriteFile(Path("large"), std::string(101, 'x'), Replace::kRegularFile).ok());
  ExpectError(Path("large"), absl::StatusCode::kInvalidArgument, "more than the 100 bytes");
  // As large as a disk, without a byte on it.
  std::filesystem::resize_file(Path("large"), uint64_t{1} << 40);
  ExpectError(Path("large"), absl::StatusCode::kInvalidArgument, "more than the 100 bytes");
}

}  // namespace
}  // namespace hearth
