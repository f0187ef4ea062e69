#include "engine/base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

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
