#include "client/library/part_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "client/library/prefix_digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

namespace fs = std::filesystem;

absl::Span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class PartFileTest : public ::testing::Test {
 protected:
  PartFileTest() : folder_(fs::temp_directory_path() / absl::StrCat("hearth-part-file-", getpid())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~PartFileTest() override { fs::remove_all(folder_); }

  PartFile Open() {
    absl::StatusOr<PartFile> file = PartFile::Open(path_);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  void SaveSome() {
    PartFile file = Open();
    EXPECT_TRUE(file.Reserve(10).ok());
    EXPECT_TRUE(file.Write(2, Bytes("cde")).ok());
    EXPECT_TRUE(file.Save({"who", "\"tag\"", 10, {3}}).ok());
  }

  fs::path folder_;
  std::string path_ = folder_ / "m.gguf";
};

TEST_F(PartFileTest, WhatIsWrittenBehindStaysAsItIs) {
  PartFile file = Open();
  ASSERT_TRUE(file.Reserve(10).ok());
  ASSERT_TRUE(file.Write(0, Bytes("0123456789")).ok());
  file.WriteBehind(0, 4);
  file.WriteBehind(4, 1 << 20);  // more than there is
  ASSERT_TRUE(file.Commit(10).ok());
  std::string text(11, ' ');
  std::ifstream(path_).read(text.data(), 11);
  EXPECT_EQ(text.substr(0, 10), "0123456789");
}

TEST_F(PartFileTest, GoesOnFromItsRecord) {
  SaveSome();
  const auto record = Open().ReadRecord();
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->identity, "who");
  EXPECT_EQ(record->validator, "\"tag\"");
  EXPECT_EQ(record->bytes, 10u);
  EXPECT_THAT(record->done, ElementsAre(3));
}

TEST_F(PartFileTest, IsMovedToItsPlaceWithoutTheRecord) {
  SaveSome();
  PartFile file = Open();
  ASSERT_TRUE(file.Write(0, Bytes("0123456789")).ok());
  ASSERT_TRUE(file.Commit(10).ok());
  std::stringstream text;
  text << std::ifstream(path_).rdbuf();
  EXPECT_EQ(text.str(), "0123456789");
  EXPECT_FALSE(fs::exists(path_ + ".part"));
  EXPECT_EQ(PartFile::Open(path_).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(PartFileTest, NewAndDamagedOnesHaveNoRecord) {
  EXPECT_FALSE(Open().ReadRecord().has_value());
  SaveSome();
  const fs::path part = path_ + ".part";
  std::fstream(part, std::ios::in | std::ios::out).seekp(10 + 100) << "x";
  EXPECT_FALSE(Open().ReadRecord().has_value());
  SaveSome();
  fs::resize_file(part, fs::file_size(part) - 1);
  EXPECT_FALSE(Open().ReadRecord().has_value());
  SaveSome();
  fs::resize_file(part, 5);
  EXPECT_FALSE(Open().ReadRecord().has_value());
}

TEST_F(PartFileTest, OneAtATimeHasIt) {
  const PartFile file = Open();
  const absl::Status second = PartFile::Open(path_).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.message()), HasSubstr("another hearth pull is fetching"));
}

TEST_F(PartFileTest, WhatIsNoRegularFileIsLeftAlone) {
  fs::create_symlink("/etc/passwd", path_ + ".part");
  EXPECT_FALSE(PartFile::Open(path_).ok());
  fs::remove(path_ + ".part");
  ASSERT_EQ(mkfifo((path_ + ".part").c_str(), 0600), 0);
  EXPECT_FALSE(PartFile::Open(path_).ok());
}

TEST_F(PartFileTest, FilesThatNoDiskHoldsAreRefusedWithWhatIsMissing) {
  PartFile file = Open();
  const absl::Status refused = file.Reserve(uint64_t{1} << 60);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("less than the 1048576.0 TiB that are needed"));
  EXPECT_FALSE(file.Reserve(UINT64_MAX).ok());
}

TEST_F(PartFileTest, DigestFollowsWhatHasCome) {
  PartFile file = Open();
  ASSERT_TRUE(file.Write(0, Bytes("abc")).ok());
  PrefixDigest digest(file.fd());
  EXPECT_FALSE(digest.WaitFor(3, 0));
  digest.Extend(1);
  digest.Extend(3);
  while (!digest.WaitFor(3, 1000)) continue;
  EXPECT_EQ(*digest.Finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(PartFileTest, DigestOfWhatCannotBeReadIsAnError) {
  PartFile file = Open();
  PrefixDigest digest(file.fd());
  digest.Extend(3);
  while (!digest.WaitFor(3, 1000)) continue;
  EXPECT_EQ(digest.Finish().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace hearth
