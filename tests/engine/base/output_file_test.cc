#include "engine/base/output_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class OutputFileTest : public testing::Test {
 protected:
  OutputFileTest() {
    std::string pattern = testing::TempDir() + "hearth-output-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~OutputFileTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
    return names;
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void ExpectRefused(const std::string& path, Replace replace, const std::string& why) {
    for (const absl::Status& status : {OutputFile::Check(path, replace), WriteFile(path, "x", replace)}) {
      EXPECT_FALSE(status.ok());
      EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write " + path));
      EXPECT_THAT(std::string(status.message()), HasSubstr(why));
    }
  }

  std::string folder_;
};

TEST_F(OutputFileTest, AppearsWhenCommittedAndAtOnce) {
  OutputFile file = OutputFile::Create(Path("a"), Replace::kNever).value();
  ASSERT_TRUE(file.Write("one ").ok());
  ASSERT_TRUE(file.Write("two").ok());
  EXPECT_FALSE(fs::exists(Path("a")));
  ASSERT_TRUE(file.Commit().ok());
  EXPECT_EQ(Content(Path("a")), "one two");
  EXPECT_THAT(Names(), ElementsAre("a"));
}

TEST_F(OutputFileTest, LeavesNothingWithoutCommit) {
  { ASSERT_TRUE(OutputFile::Create(Path("a"), Replace::kNever).value().Write("x").ok()); }
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(OutputFileTest, AFileIsReplacedOnlyWhereThatIsAllowed) {
  ASSERT_TRUE(WriteFile(Path("a"), "old", Replace::kNever).ok());
  ExpectRefused(Path("a"), Replace::kNever, "the file exists; choose another name");
  ExpectRefused(Path("a"), Replace::kIfForced, "the file exists; choose another name or add --force");
  EXPECT_EQ(Content(Path("a")), "old");
  ASSERT_TRUE(WriteFile(Path("a"), "new", Replace::kRegularFile).ok());
  EXPECT_EQ(Content(Path("a")), "new");
}

TEST_F(OutputFileTest, AFileThatAppearsMeanwhileIsKept) {
  OutputFile file = OutputFile::Create(Path("a"), Replace::kNever).value();
  ASSERT_TRUE(file.Write("mine").ok());
  ASSERT_TRUE(WriteFile(Path("a"), "theirs", Replace::kNever).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(file.Commit()));
  EXPECT_EQ(Content(Path("a")), "theirs");
}

TEST_F(OutputFileTest, WhatIsNoRegularFileIsNeverReplaced) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  fs::create_directory(Path("folder"));
  ASSERT_TRUE(WriteFile(Path("file"), "x", Replace::kNever).ok());
  fs::create_symlink(Path("file"), Path("link"));
  fs::create_symlink(Path("nowhere"), Path("dangling"));
  for (Replace replace : {Replace::kNever, Replace::kRegularFile}) {
    ExpectRefused("/dev/null", replace, "device");
    ExpectRefused("/dev/full", replace, "device");
    ExpectRefused(Path("fifo"), replace, "pipe");
    ExpectRefused(Path("folder"), replace, "directory");
    ExpectRefused(Path("link"), replace, "symbolic link");
    ExpectRefused(Path("dangling"), replace, "symbolic link");
  }
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_TRUE(fs::is_fifo(Path("fifo")));
}

TEST_F(OutputFileTest, AFolderThatIsMissingIsNamed) {
  ExpectRefused(Path("no/file"), Replace::kNever, "No such file or directory");
  ExpectRefused(Path("new/"), Replace::kNever, "ends with a slash");
  EXPECT_THAT(std::string(OutputFile::Check("", Replace::kNever).message()), HasSubstr("is empty"));
}

TEST_F(OutputFileTest, AFolderWithoutWritePermissionIsNamed) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  chmod(folder_.c_str(), 0500);
  ExpectRefused(Path("a"), Replace::kNever, "Permission denied");
  chmod(folder_.c_str(), 0700);
}

TEST_F(OutputFileTest, TheInputIsRecognisedByAnyName) {
  ASSERT_TRUE(WriteFile(Path("in"), "x", Replace::kNever).ok());
  fs::create_hard_link(Path("in"), Path("hard"));
  fs::create_symlink(Path("in"), Path("soft"));
  for (const char* name : {"in", "hard", "soft"}) {
    EXPECT_THAT(std::string(OutputFile::CheckIsNot(Path(name), Path("in")).message()),
                HasSubstr("it is the file that is read"));
  }
  EXPECT_TRUE(OutputFile::CheckIsNot(Path("out"), Path("in")).ok());
}

TEST_F(OutputFileTest, ALongNameIsNoProblem) {
  const std::string path = Path(std::string(255, 'n'));
  ASSERT_TRUE(WriteFile(path, "x", Replace::kNever).ok());
  EXPECT_TRUE(fs::exists(path));
  ExpectRefused(Path(std::string(256, 'n')), Replace::kNever, "File name too long");
}

// The size limit of a process stands for a full disk: writing fails in the same place.
TEST_F(OutputFileTest, AFullDiskLeavesNothingAndKeepsTheOldFile) {
  ASSERT_TRUE(WriteFile(Path("a"), "old", Replace::kNever).ok());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteFile(Path("a"), std::string(1000, 'x'), Replace::kRegularFile);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(std::string(status.message()), HasSubstr("File too large"));
  EXPECT_EQ(Content(Path("a")), "old");
  EXPECT_THAT(Names(), ElementsAre("a"));
}

TEST_F(OutputFileTest, PermissionsFollowTheUmask) {
  const mode_t before = umask(0027);
  ASSERT_TRUE(WriteFile(Path("a"), "x", Replace::kNever).ok());
  umask(before);
  EXPECT_EQ(fs::status(Path("a")).permissions(), fs::perms{0640});
}

}  // namespace
}  // namespace hearth
