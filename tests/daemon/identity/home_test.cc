#include "daemon/identity/home.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class HomeTest : public ::testing::Test {
 protected:
  std::unique_ptr<Home> Open(const std::string& state_dir) {
    return Home::Open(state_dir, "a", [this] { return now_; }).value();
  }
  JoinCode Invite() { return ParseJoinCode(home_->Invite({"192.168.1.10:7772"}, absl::Hours(1))).value(); }
  absl::StatusOr<std::string> Join(const JoinCode& code, const std::string& key, const std::string& name) {
    return home_->Admit(code.secret, MakeSigningRequest(key, name).value());
  }

  absl::Time now_ = absl::FromUnixSeconds(1795000000);
  TemporaryState state_;
  std::unique_ptr<Home> home_ = Open(state_.path());
};

TEST_F(HomeTest, InvitedHostGetsACertificateAndIsAMember) {
  const std::string key = MakePrivateKey();
  const JoinCode code = Invite();
  EXPECT_EQ(code.authority, ParseCertificate(home_->key().authority_pem)->id);
  const auto certificate = Join(code, key, "b");
  ASSERT_TRUE(certificate.ok()) << certificate.status();
  const auto member = home_->Recognise(*certificate);
  ASSERT_TRUE(member.ok()) << member.status();
  EXPECT_EQ(member->name, "b");
  EXPECT_EQ(member->role, Role::kHost);
  EXPECT_EQ(member->id, IdOfPrivateKey(key).value());
}

TEST_F(HomeTest, SecretIsGoodForOneHostAndOneHour) {
  const JoinCode code = Invite();
  ASSERT_TRUE(Join(code, MakePrivateKey(), "b").ok());
  EXPECT_THAT(Join(code, MakePrivateKey(), "c").status().message(), HasSubstr("used already"));
  const JoinCode late = Invite();
  now_ += absl::Hours(2);
  EXPECT_THAT(Join(late, MakePrivateKey(), "c").status().message(), HasSubstr("has expired"));
  EXPECT_THAT(home_->members(), SizeIs(1));
}

TEST_F(HomeTest, BadRequestDoesNotUseTheSecretUp) {
  const JoinCode code = Invite();
  EXPECT_EQ(home_->Admit(code.secret, "nonsense").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Join(code, MakePrivateKey(), "b").ok());
}

TEST_F(HomeTest, RestartKeepsAuthorityAndMembers) {
  const std::string certificate = Join(Invite(), MakePrivateKey(), "b").value();
  const std::string authority = home_->key().authority_pem;
  home_ = Open(state_.path());
  EXPECT_EQ(home_->key().authority_pem, authority);
  EXPECT_TRUE(home_->Recognise(certificate).ok());
}

TEST_F(HomeTest, RemovedMemberIsToldAndItsCertificateCountsNoMore) {
  const std::string certificate = Join(Invite(), MakePrivateKey(), "b").value();
  std::vector<HostId> removed;
  home_->SetRemovedListener([&](const HostId& id) { removed.push_back(id); });
  EXPECT_EQ(home_->Remove("b", {Role::kClient, Role::kAdmin}).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(home_->Remove("b", {Role::kHost}).ok());
  EXPECT_EQ(removed, std::vector{ParseCertificate(certificate)->id});
  EXPECT_EQ(home_->Recognise(certificate).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Open(state_.path())->Recognise(certificate).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(HomeTest, StrangersAndExpiredCertificatesAreNotRecognised) {
  TemporaryState elsewhere;
  const auto other = Open(elsewhere.path());
  EXPECT_EQ(home_->Recognise(other->key().certificate_pem).status().code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(home_->Recognise("").status().code(), absl::StatusCode::kUnauthenticated);
  const std::string certificate = Join(Invite(), MakePrivateKey(), "b").value();
  now_ += kCertificateLife + absl::Hours(1);
  EXPECT_EQ(home_->Recognise(certificate).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(HomeTest, KeysOfClientsHaveNamesOfTheirOwn) {
  const auto key = home_->MakeKey("anna", Role::kClient, "10.0.0.1:7771");
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(home_->Recognise(key->certificate_pem)->role, Role::kClient);
  EXPECT_EQ(home_->MakeKey("anna", Role::kAdmin, "").status().code(), absl::StatusCode::kAlreadyExists);
  const auto read = ParseConnectionKey(FormatConnectionKey(*key));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->server, "10.0.0.1:7771");
  EXPECT_EQ(read->certificate_pem, key->certificate_pem);
}

TEST_F(HomeTest, DamagedFilesAreNamedAndNotReplaced) {
  std::ofstream(state_.path() + "/identity/authority-key.pem") << "no key";
  EXPECT_THAT(Home::Open(state_.path(), "a").status().message(),
              HasSubstr("authority of this home is damaged"));
  TemporaryState other;
  Open(other.path());
  std::ofstream(other.path() + "/identity/members") << "what?\n";
  EXPECT_THAT(Home::Open(other.path(), "a").status().message(), HasSubstr("list of members is damaged"));
}

}  // namespace
}  // namespace hearth
