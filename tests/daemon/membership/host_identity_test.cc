#include "daemon/membership/host_identity.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

class HostIdentityTest : public ::testing::Test {
 protected:
  HostIdentityTest() : dir_(absl::StrCat(::testing::TempDir(), "/identity-", ::getpid())) {
    fs::create_directories(dir_ + "/a");
  }
  ~HostIdentityTest() override { fs::remove_all(dir_); }

  HostIdentity Read(const std::string& name) { return ReadHostIdentity(dir_ + "/" + name).value(); }

  const std::string dir_;
};

TEST_F(HostIdentityTest, StaysTheSameOverRestarts) {
  const HostIdentity first = Read("a");
  EXPECT_EQ(first.id.size(), 63);
  EXPECT_FALSE(first.machine.empty());
  EXPECT_EQ(Read("a"), first);
}

TEST_F(HostIdentityTest, TwoDaemonsOfAMachineShareTheMachineAlone) {
  fs::create_directories(dir_ + "/b");
  const HostIdentity a = Read("a"), b = Read("b");
  EXPECT_NE(a.id, b.id);
  EXPECT_NE(a.home, b.home);
  EXPECT_EQ(a.machine, b.machine);
}

TEST_F(HostIdentityTest, CopyOfAStateDirectoryHasTheIdButAnotherHome) {
  const HostIdentity original = Read("a");
  fs::copy(dir_ + "/a", dir_ + "/copy", fs::copy_options::recursive);
  const HostIdentity copy = Read("copy");
  EXPECT_EQ(copy.id, original.id);
  EXPECT_NE(copy.home, original.home);
}

TEST_F(HostIdentityTest, DamagedKeyIsAnError) {
  Read("a");
  std::ofstream(dir_ + "/a/identity/key.pem") << "no key\n";
  EXPECT_EQ(ReadHostIdentity(dir_ + "/a").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(HostIdentityTest, DirectoryThatCannotBeWrittenIsAnError) {
  EXPECT_EQ(ReadHostIdentity(dir_ + "/none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace hearth
