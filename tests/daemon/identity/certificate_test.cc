#include "daemon/identity/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "daemon/identity/openssl_ptr.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1795000000);

// A key, its request, and the certificate that an authority gives for it.
struct Issued {
  explicit Issued(const Authority& authority, Role role = Role::kHost, const std::string& name = "b") {
    const SigningRequest parsed = ParseSigningRequest(MakeSigningRequest(key, name).value()).value();
    certificate = ParseCertificate(IssueCertificate(authority, parsed, role, kNow).value()).value();
  }
  const std::string key = MakePrivateKey();
  Certificate certificate;
};

TEST(Certificate, SaysWhoseItIsAndWhatTheOwnerMayDo) {
  const Authority authority = MakeAuthority(kNow);
  for (const Role role : {Role::kCoordinator, Role::kHost, Role::kClient, Role::kAdmin}) {
    const Issued issued(authority, role, "Büro 1");
    EXPECT_EQ(issued.certificate.name, "Büro 1");
    EXPECT_EQ(issued.certificate.role, role);
    EXPECT_EQ(issued.certificate.id, IdOfPrivateKey(issued.key).value());
    EXPECT_TRUE(CheckIssued(issued.certificate, authority.certificate_pem).ok());
  }
}

TEST(Certificate, OfAnotherAuthorityOrOfNoneIsNotOfThisHome) {
  const Authority ours = MakeAuthority(kNow), other = MakeAuthority(kNow);
  const Issued stranger(other);
  EXPECT_EQ(CheckIssued(stranger.certificate, ours.certificate_pem).code(),
            absl::StatusCode::kPermissionDenied);
  const Certificate authority = ParseCertificate(ours.certificate_pem).value();
  EXPECT_EQ(authority.role, std::nullopt);
  EXPECT_FALSE(CheckIssued(authority, ours.certificate_pem).ok());
}

TEST(Certificate, OfAServerNamesTheMachineAndNoRole) {
  const Authority authority = MakeAuthority(kNow);
  const std::string key = MakePrivateKey();
  const ServerNames names = {{"nas", "nas.local", "coordinator.hearth", "a,DNS:evil.example", "", "b c"},
                             {"192.168.1.10", "fe80::1", "x", "1.2.3.4,DNS:evil.example"}};
  const auto issued = IssueServerCertificate(authority, key, names, kNow);
  ASSERT_TRUE(issued.ok()) << issued.status();
  const Certificate certificate = ParseCertificate(*issued).value();
  EXPECT_EQ(certificate.role, std::nullopt);
  EXPECT_TRUE(CheckIssued(certificate, authority.certificate_pem).ok());
  const X509Ptr x509 = ReadX509(*issued);
  for (const char* host : {"localhost", "nas", "nas.local"}) {
    EXPECT_EQ(X509_check_host(x509.get(), host, 0, 0, nullptr), 1) << host;
  }
  EXPECT_EQ(X509_check_host(x509.get(), "evil.example", 0, 0, nullptr), 0);
  for (const char* address : {"127.0.0.1", "::1", "192.168.1.10", "fe80::1"}) {
    EXPECT_EQ(X509_check_ip_asc(x509.get(), address, 0), 1) << address;
  }
  EXPECT_EQ(X509_check_ip_asc(x509.get(), "1.2.3.4", 0), 0);
}

TEST(Certificate, OfAServerWithoutAnyNamesIsForThisMachineAlone) {
  const auto issued = IssueServerCertificate(MakeAuthority(kNow), MakePrivateKey(), {}, kNow);
  ASSERT_TRUE(issued.ok()) << issued.status();
  EXPECT_EQ(ParseCertificate(*issued)->role, std::nullopt);
  EXPECT_FALSE(IssueServerCertificate({}, MakePrivateKey(), {}, kNow).ok());
  EXPECT_FALSE(IssueServerCertificate(MakeAuthority(kNow), "no key", {}, kNow).ok());
}

TEST(Certificate, MemberCannotIssueCertificates) {
  const Issued member(MakeAuthority(kNow));
  const SigningRequest request =
      ParseSigningRequest(MakeSigningRequest(MakePrivateKey(), "c").value()).value();
  EXPECT_EQ(IssueCertificate({member.key, member.certificate.pem}, request, Role::kCoordinator, kNow)
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Certificate, ThatAForgedAuthorityOfTheSameNameSignedIsNotOfThisHome) {
  const Authority ours = MakeAuthority(kNow), theirs = MakeAuthority(kNow);
  const Issued forged(Authority{theirs.key_pem, ours.certificate_pem}, Role::kCoordinator);
  EXPECT_FALSE(CheckIssued(forged.certificate, ours.certificate_pem).ok());
}

TEST(Certificate, LifeIsCheckedByTheClockAndTheMessageSpeaksOfIt) {
  const Issued issued(MakeAuthority(kNow));
  EXPECT_TRUE(CheckLife(issued.certificate.life, kNow).ok());
  EXPECT_TRUE(CheckLife(issued.certificate.life, kNow - absl::Hours(23)).ok());
  EXPECT_TRUE(CheckLife(issued.certificate.life, kNow + kCertificateLife - absl::Hours(1)).ok());
  const absl::Status early = CheckLife(issued.certificate.life, kNow - absl::Hours(24 * 365));
  EXPECT_THAT(early.message(), HasSubstr("the clock of this machine says 2025-"));
  EXPECT_THAT(early.message(), HasSubstr("set the clock"));
  const absl::Status late = CheckLife(issued.certificate.life, kNow + kCertificateLife + absl::Hours(1));
  EXPECT_THAT(late.message(), HasSubstr("`hearth invite`"));
}

TEST(Certificate, RenewalIsDueWhenAThirdOfItsLifeIsLeftAndWhenItDoesNotHold) {
  const CertificateLife life{kNow, kNow + absl::Hours(300)};
  EXPECT_FALSE(IsRenewalDue(life, kNow));
  EXPECT_FALSE(IsRenewalDue(life, kNow + absl::Hours(199)));
  EXPECT_TRUE(IsRenewalDue(life, kNow + absl::Hours(200)));
  EXPECT_TRUE(IsRenewalDue(life, kNow + absl::Hours(301)));
  EXPECT_TRUE(IsRenewalDue(life, kNow - absl::Hours(1)));
}

TEST(Certificate, EndsWithItsAuthorityAndIsNotMadeAfterThat) {
  const Authority authority = MakeAuthority(kNow);
  const CertificateLife all = ParseCertificate(authority.certificate_pem)->life;
  EXPECT_GT(all.until, kNow + absl::Hours(24 * 365 * 29));
  const SigningRequest request =
      ParseSigningRequest(MakeSigningRequest(MakePrivateKey(), "b").value()).value();
  const absl::Time late = all.until - absl::Hours(24);
  const std::string last = IssueCertificate(authority, request, Role::kHost, late).value();
  EXPECT_EQ(LifeOf(last)->until, all.until);
  const absl::Status over =
      IssueCertificate(authority, request, Role::kHost, all.until + absl::Hours(24)).status();
  EXPECT_EQ(over.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(over.message(), HasSubstr("set the clock"));
}

TEST(Coordinator, IsKnownByItsAuthorityAndRoleAndByBothClocks) {
  const Authority authority = MakeAuthority(kNow), other = MakeAuthority(kNow);
  const SigningRequest request =
      ParseSigningRequest(MakeSigningRequest(MakePrivateKey(), "a").value()).value();
  const std::string coordinator = IssueCertificate(authority, request, Role::kCoordinator, kNow).value();
  const auto check = [&](const std::string& certificate, absl::Time now) {
    return CheckCoordinator(certificate, authority.certificate_pem, now);
  };
  EXPECT_TRUE(check(coordinator, kNow).ok()) << check(coordinator, kNow);
  for (const std::string& wrong : {IssueCertificate(authority, request, Role::kHost, kNow).value(),
                                   IssueCertificate(authority, request, Role::kClient, kNow).value(),
                                   IssueCertificate(other, request, Role::kCoordinator, kNow).value(),
                                   authority.certificate_pem, std::string("nonsense"), std::string()}) {
    EXPECT_EQ(check(wrong, kNow).code(), absl::StatusCode::kUnauthenticated);
  }
  const absl::Duration year = absl::Hours(24 * 365);
  EXPECT_EQ(check(coordinator, kNow - year).message(),
            absl::StrCat("the clock of this machine says ", DayText(kNow - year),
                         ", but the coordinator's certificate is from ", DayText(kNow - kClockTolerance),
                         ": set the clock, or that of the machine that made it"));
  EXPECT_EQ(check(coordinator, kNow + 3 * year).message(),
            absl::StrCat("the coordinator's certificate was good until ", DayText(kNow + kCertificateLife),
                         " and the clock of this machine says ", DayText(kNow + 3 * year),
                         ": set the clock if that is wrong, or that of the coordinator, which renews its "
                         "certificate by itself"));
}

TEST(Certificate, WhatIsNoneIsRefused) {
  const Authority authority = MakeAuthority(kNow);
  EXPECT_FALSE(ParseCertificate("").ok());
  EXPECT_FALSE(ParseCertificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").ok());
  EXPECT_FALSE(ParseCertificate(authority.key_pem).ok());
  EXPECT_FALSE(ParseCertificate(std::string(100000, 'A')).ok());
  EXPECT_FALSE(IdOfPrivateKey(authority.certificate_pem).ok());
}

TEST(Certificate, KeysOfOtherKindsAreRefused) {
  constexpr char kEd25519[] =
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
      "-----END PRIVATE KEY-----\n";
  EXPECT_FALSE(IdOfPrivateKey(kEd25519).ok());
  EXPECT_FALSE(MakeSigningRequest(kEd25519, "b").ok());
}

TEST(SigningRequest, CarriesNameAndKey) {
  const std::string key = MakePrivateKey();
  const auto request = ParseSigningRequest(MakeSigningRequest(key, "b").value());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->name, "b");
  EXPECT_EQ(request->id, IdOfPrivateKey(key).value());
}

TEST(SigningRequest, ChangedOnTheWayIsRefused) {
  const std::string request = MakeSigningRequest(MakePrivateKey(), "host-b").value();
  size_t refused = 0, changes = 0;
  for (size_t i = request.find('\n') + 1; i < request.rfind("\n-----END"); ++i) {
    if (request[i] == '\n') continue;
    std::string changed = request;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    ++changes;
    refused += !ParseSigningRequest(changed).ok();
  }
  // Bits that fill no byte at the end may be any.
  EXPECT_GE(refused + 2, changes);
}

TEST(SigningRequest, NamesThatCannotBeShownAreRefusedAndLongOnesCut) {
  const std::string key = MakePrivateKey();
  EXPECT_FALSE(MakeSigningRequest(key, "").ok());
  EXPECT_FALSE(MakeSigningRequest(key, "a\nb").ok());
  for (const size_t length : {64, 65, 128}) {
    const auto request = ParseSigningRequest(MakeSigningRequest(key, std::string(length, 'x')).value());
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_LE(request->name.size(), 64u);
  }
}

}  // namespace
}  // namespace hearth
