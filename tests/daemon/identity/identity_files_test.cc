#include "daemon/identity/identity_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class IdentityFilesTest : public ::testing::Test {
 protected:
  TemporaryState state_;
  const IdentityFiles files_ = IdentityFiles::Open(state_.path()).value();
};

TEST_F(IdentityFilesTest, KeyIsMadeOnceAndNobodyElseMayReadIt) {
  const std::string key = files_.HostKey().value();
  EXPECT_EQ(IdentityFiles::Open(state_.path())->HostKey().value(), key);
  EXPECT_EQ(fs::status(state_.path() + "/identity").permissions(), fs::perms::owner_all);
  EXPECT_EQ(fs::status(state_.path() + "/identity/key.pem").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(IdentityFilesTest, DamagedKeyIsNotReplacedWithoutAWord) {
  std::ofstream(state_.path() + "/identity/key.pem") << "no key\n";
  EXPECT_EQ(files_.HostKey().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(IdentityFilesTest, JoinedHomeComesBack) {
  EXPECT_EQ(files_.JoinedHome().value(), std::nullopt);
  const std::string certificate = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n";
  const std::string authority = "-----BEGIN CERTIFICATE-----\nBB\n-----END CERTIFICATE-----\n";
  const ConnectionKey key{files_.HostKey().value(), certificate, authority, "10.0.0.1:7771"};
  ASSERT_TRUE(files_.SetJoinedHome(key).ok());
  const ConnectionKey read = files_.JoinedHome()->value();
  EXPECT_EQ(read.private_key_pem, key.private_key_pem);
  EXPECT_EQ(read.certificate_pem, certificate);
  EXPECT_EQ(read.authority_pem, authority);
  EXPECT_EQ(read.server, "10.0.0.1:7771");
}

TEST_F(IdentityFilesTest, DamagedHomeIsSaidToBe) {
  std::ofstream(state_.path() + "/identity/home.pem") << "hearth-server: a:1\n-----BEGIN PRIVATE KEY-----\n";
  EXPECT_THAT(files_.JoinedHome().status().message(), HasSubstr("home.pem is damaged"));
}

TEST_F(IdentityFilesTest, DirectoryThatIsNotThereIsAnError) {
  EXPECT_EQ(IdentityFiles::Open(state_.path() + "/none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace hearth
