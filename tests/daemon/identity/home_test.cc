#include "daemon/identity/home.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "daemon/identity/api_key.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
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

TEST_F(HomeTest, KeyForHttpIsKnownUntilItIsRevokedAndAcrossRestarts) {
  const std::string key = home_->MakeApiKey("anna", Role::kAdmin).value();
  for (const bool restarted : {false, true}) {
    if (restarted) home_ = Open(state_.path());
    const auto owner = home_->RecogniseApiKey(key);
    ASSERT_TRUE(owner.ok()) << owner.status();
    EXPECT_EQ(owner->name, "anna");
    EXPECT_EQ(owner->role, Role::kAdmin);
    EXPECT_TRUE(owner->api_key);
  }
  std::vector<HostId> removed;
  home_->SetRemovedListener([&](const HostId& id) { removed.push_back(id); });
  ASSERT_TRUE(home_->Remove("anna", {Role::kClient, Role::kAdmin}).ok());
  EXPECT_THAT(removed, SizeIs(1));
  EXPECT_EQ(home_->RecogniseApiKey(key).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Open(state_.path())->RecogniseApiKey(key).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(HomeTest, WrongTruncatedAndEmptyKeysForHttpAreNobodys) {
  const std::string key = home_->MakeApiKey("anna", Role::kClient).value();
  for (const std::string& wrong : {std::string(), key.substr(0, key.size() - 1), key + "a", key.substr(7),
                                   MakeApiKey(), home_->members()[0].id.Text(), std::string("hearth-")}) {
    EXPECT_EQ(home_->RecogniseApiKey(wrong).status().code(), absl::StatusCode::kUnauthenticated) << wrong;
  }
}

TEST_F(HomeTest, NothingThatIsKeptOrListedHasTheKeyForHttp) {
  const std::string key = home_->MakeApiKey("anna", Role::kClient).value();
  const std::string secret = key.substr(7);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(state_.path())) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_THAT(absl::AsciiStrToLower(text), Not(HasSubstr(secret))) << entry.path();
    EXPECT_EQ(entry.status().permissions() & std::filesystem::perms::all,
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << entry.path();
  }
  const Member member = home_->members().at(0);
  EXPECT_THAT(absl::AsciiStrToLower(member.id.Text() + member.name), Not(HasSubstr(secret.substr(0, 7))));
}

TEST_F(HomeTest, NameOfAKeyIsTakenWhateverItsKind) {
  ASSERT_TRUE(home_->MakeApiKey("anna", Role::kClient).ok());
  ASSERT_TRUE(home_->MakeKey("berta", Role::kClient, "").ok());
  for (const char* name : {"anna", "berta"}) {
    EXPECT_EQ(home_->MakeApiKey(name, Role::kClient).status().code(), absl::StatusCode::kAlreadyExists);
    EXPECT_EQ(home_->MakeKey(name, Role::kClient, "").status().code(), absl::StatusCode::kAlreadyExists);
  }
  EXPECT_EQ(home_->MakeApiKey("two\nlines", Role::kClient).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(HomeTest, CertificateForHttpsMakesNobodyAMember) {
  const ConnectionKey key = home_->MakeServerKey({{"nas"}, {"192.168.1.10"}}).value();
  EXPECT_FALSE(home_->Recognise(key.certificate_pem).ok());
  EXPECT_TRUE(home_->members().empty());
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

TEST_F(HomeTest, HostGetsANewCertificateForItsKey) {
  const std::string key = MakePrivateKey();
  const std::string first = Join(Invite(), key, "b").value();
  now_ += absl::Hours(24 * 500);
  const auto second = home_->Renew(first, MakeSigningRequest(key, "another name").value());
  ASSERT_TRUE(second.ok()) << second.status();
  const Certificate renewed = ParseCertificate(*second).value();
  EXPECT_EQ(renewed.life.until, now_ + kCertificateLife);
  EXPECT_EQ(renewed.id, IdOfPrivateKey(key).value());
  EXPECT_EQ(renewed.role, Role::kHost);
  EXPECT_EQ(renewed.name, "b");
  home_ = Open(state_.path());
  ASSERT_THAT(home_->members(), SizeIs(1));
  EXPECT_EQ(home_->members()[0].expires, renewed.life.until);
  EXPECT_TRUE(home_->Recognise(first).ok());
  now_ += absl::Hours(24 * 500);
  EXPECT_FALSE(home_->Recognise(first).ok());
  EXPECT_TRUE(home_->Recognise(*second).ok());
}

TEST_F(HomeTest, NobodyIsGivenAnothersCertificate) {
  const std::string key = MakePrivateKey();
  const std::string certificate = Join(Invite(), key, "b").value();
  const std::string request = MakeSigningRequest(key, "b").value();
  const std::string of_another = MakeSigningRequest(MakePrivateKey(), "b").value();
  TemporaryState elsewhere;
  const auto other = Open(elsewhere.path());
  EXPECT_EQ(home_->Renew(certificate, of_another).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(home_->Renew(certificate, "nonsense").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(home_->Renew("", request).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(other->Renew(certificate, request).status().code(), absl::StatusCode::kUnauthenticated);
  const ConnectionKey client = home_->MakeKey("anna", Role::kClient, "").value();
  EXPECT_EQ(home_->Renew(client.certificate_pem, MakeSigningRequest(client.private_key_pem, "anna").value())
                .status()
                .code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(HomeTest, ForgottenHostDoesNotComeBackByARenewal) {
  const std::string key = MakePrivateKey();
  const std::string certificate = Join(Invite(), key, "b").value();
  ASSERT_TRUE(home_->Remove("b", {Role::kHost}).ok());
  EXPECT_EQ(home_->Renew(certificate, MakeSigningRequest(key, "b").value()).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(home_->members().empty());
}

TEST_F(HomeTest, CoordinatorsOwnCertificateIsRenewedAndKept) {
  const Certificate first = ParseCertificate(home_->key().certificate_pem).value();
  now_ += absl::Hours(24 * 500);
  ASSERT_TRUE(home_->RenewOwn().ok());
  const Certificate second = ParseCertificate(home_->key().certificate_pem).value();
  EXPECT_EQ(second.life.until, now_ + kCertificateLife);
  EXPECT_EQ(second.id, first.id);
  EXPECT_EQ(second.role, Role::kCoordinator);
  EXPECT_EQ(second.name, "a");
  std::ifstream file(home_->certificate_path());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), second.pem);
  EXPECT_EQ(std::filesystem::status(home_->certificate_path()).permissions() & std::filesystem::perms::all,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(HomeTest, OneWhoCouldLeadRenewsAsTheHostThatItIsByNow) {
  const ConnectionKey key = home_->key();
  const auto renewed =
      home_->Renew(key.certificate_pem, MakeSigningRequest(key.private_key_pem, "a").value());
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(ParseCertificate(*renewed)->role, Role::kCoordinator);
  EXPECT_TRUE(home_->members().empty());
}

TEST_F(HomeTest, CertificateThatCannotBeKeptIsNotShown) {
  const std::string shown = home_->key().certificate_pem;
  const std::string path = home_->certificate_path();
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_FALSE(home_->RenewOwn().ok());
  EXPECT_EQ(home_->key().certificate_pem, shown);
}

TEST_F(HomeTest, WrongClockIsToldWithBothTimes) {
  const absl::Time joined = now_;
  const std::string certificate = Join(Invite(), MakePrivateKey(), "b").value();
  const std::string anna = home_->MakeKey("anna", Role::kClient, "")->certificate_pem;
  now_ = joined - absl::Hours(24 * 365);
  const absl::Status early = home_->Recognise(certificate).status();
  EXPECT_EQ(early.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(early.message(),
            absl::StrCat("the coordinator's clock says ", DayText(now_),
                         ", but the certificate of b is from ", DayText(joined - kClockTolerance),
                         ": set the clock, or that of the machine that made it"));
  EXPECT_THAT(home_->CheckClock().message(), HasSubstr("but the authority of this home is from"));
  now_ = joined + absl::Hours(24 * 365 * 3);
  EXPECT_TRUE(home_->CheckClock().ok());
  const absl::Status late = home_->Recognise(certificate).status();
  EXPECT_THAT(late.message(), HasSubstr(absl::StrCat("the coordinator's clock says ", DayText(now_))));
  EXPECT_THAT(late.message(), HasSubstr("`hearth invite`"));
  EXPECT_THAT(home_->Recognise(anna).status().message(), HasSubstr("`hearth key create`"));
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
