#include "engine/base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace hearth {
namespace {

using ::testing::HasSubstr;

std::string WriteFile(const std::string& name, const std::string& content) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string Text(const MappedFile& file) { return {file.bytes().begin(), file.bytes().end()}; }

TEST(MappedFileTest, OpenFileHasItsBytesAndPath) {
  const std::string path = WriteFile("mapped_content", "hearth");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(Text(*file), "hearth");
  EXPECT_EQ(file->path(), path);
}

TEST(MappedFileTest, MovedFileKeepsItsBytesAndTheSourceHasNone) {
  auto first = MappedFile::Open(WriteFile("mapped_first", "first"));
  auto second = MappedFile::Open(WriteFile("mapped_second", "second"));
  ASSERT_TRUE(first.ok() && second.ok());
  MappedFile taken = *std::move(first);
  EXPECT_EQ(Text(taken), "first");
  taken = *std::move(second);
  EXPECT_EQ(Text(taken), "second");
}

TEST(MappedFileTest, ReleasedPagesReadAsBefore) {
  const std::string content(40000, 'x');
  const auto file = MappedFile::Open(WriteFile("mapped_pages", content));
  ASSERT_TRUE(file.ok());
  file->Release(file->bytes().subspan(100, 30000));
  file->Release(file->bytes().subspan(7, 3));
  EXPECT_EQ(Text(*file), content);
}

TEST(MappedFileTest, FileCutShortReadsAsZerosAndIsDamaged) {
  const std::string path = WriteFile("mapped_cut", std::string(40000, 'x'));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->CheckUnchanged(), absl::OkStatus());
  std::filesystem::resize_file(path, 100);
  EXPECT_EQ(Text(*file).back(), '\0');
  const absl::Status status = file->CheckUnchanged();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("mapped_cut was changed while it was in use"));
}

TEST(MappedFileTest, FileOverwrittenInPlaceIsDamaged) {
  const std::string path = WriteFile("mapped_overwritten", "hearth");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  WriteFile("mapped_overwritten", "HEARTH");
  // The clock of files may be coarse; whoever overwrites a model does so later than this.
  std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(1));
  EXPECT_EQ(file->CheckUnchanged().code(), absl::StatusCode::kDataLoss);
}

TEST(MappedFileTest, FileReplacedByAnotherOrRemovedKeepsItsBytes) {
  const std::string path = WriteFile("mapped_replaced", "old");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  std::filesystem::rename(WriteFile("mapped_replacement", "new"), path);
  EXPECT_EQ(Text(*file), "old");
  EXPECT_EQ(file->CheckUnchanged(), absl::OkStatus());
  const auto again = MappedFile::Open(path);
  ASSERT_TRUE(again.ok());
  EXPECT_NE(again->Identity(), file->Identity());
  std::filesystem::remove(path);
  EXPECT_EQ(file->CheckUnchanged(), absl::OkStatus());
}

TEST(MappedFileTest, FileThatDoesNotExistIsNotFound) {
  const auto file = MappedFile::Open(testing::TempDir() + "mapped_nowhere");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(file.status().message(), HasSubstr("mapped_nowhere"));
}

TEST(MappedFileTest, EmptyFileIsRefused) {
  const auto file = MappedFile::Open(WriteFile("mapped_empty", ""));
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(file.status().message(), HasSubstr("empty"));
}

TEST(MappedFileTest, DirectoryIsRefused) {
  const auto file = MappedFile::Open(testing::TempDir());
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(file.status().message(), HasSubstr("directory"));
}

TEST(MappedFileTest, NamedPipeIsRefusedWithoutWaitingForAWriter) {
  const std::string path = testing::TempDir() + "mapped_pipe";
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const auto file = MappedFile::Open(path);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(file.status().message(), HasSubstr("regular file"));
}

}  // namespace
}  // namespace hearth
