#include "daemon/joining/renewal.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/identity/home.h"
#include "daemon/joining/home_service.h"
#include "daemon/serving/encrypted_port.h"
#include "proto/certificates.h"
#include "proto/channel.h"
#include "proto/hearth/v1/home.grpc.pb.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr absl::Duration kDay = absl::Hours(24);

// A host's certificate from a home with a clock of the test's.
class RenewalTest : public ::testing::Test {
 protected:
  // Its key, as it joins now.
  ConnectionKey Join(Home& home) {
    ConnectionKey key;
    key.private_key_pem = MakePrivateKey();
    key.authority_pem = home.key().authority_pem;
    key.certificate_pem = home.Admit(ParseJoinCode(home.Invite({"127.0.0.1:1"}, absl::Hours(1)))->secret,
                                     MakeSigningRequest(key.private_key_pem, "b").value())
                              .value();
    return key;
  }
  static absl::Time EndOf(const LiveKey& key) { return LifeOf(key.get().certificate_pem)->until; }

  TemporaryState state_;
  absl::Time now_ = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  const std::unique_ptr<Home> home_ = Home::Open(state_.path(), "a", [this] { return now_; }).value();
};

TEST_F(RenewalTest, IsTriedWhenAThirdOfTheLifeIsLeftAndNotBefore) {
  const LiveKey key(Join(*home_));
  int renewed = 0;
  Renewal renewal(key, [&](absl::Time) {
    ++renewed;
    key.Replace(Join(*home_));
    return absl::OkStatus();
  });
  const absl::Time joined = now_;
  for (int day = 0; day < 3 * 730; ++day) {
    now_ = joined + day * kDay;
    renewal.Look(now_);
    ASSERT_GE(EndOf(key) - now_, kCertificateLife / 3 - kDay) << day;
  }
  EXPECT_EQ(renewed, 4);  // in six years
}

TEST_F(RenewalTest, FailureIsTriedAgainAfterPausesThatBecomeLonger) {
  const LiveKey key(Join(*home_));
  const absl::Time due = now_ + kCertificateLife - 10 * kDay;
  std::vector<absl::Duration> tries;
  Renewal renewal(key, [&](absl::Time now) {
    tries.push_back(now - due);
    return absl::UnavailableError("the coordinator is away");
  });
  for (absl::Time now = due; now < due + kDay; now += absl::Minutes(1)) renewal.Look(now);
  ASSERT_GE(tries.size(), 11u);
  tries.resize(4);
  EXPECT_THAT(tries, ElementsAre(absl::ZeroDuration(), absl::Minutes(1), absl::Minutes(3), absl::Minutes(7)));
}

TEST_F(RenewalTest, PauseIsNeverLongerThanSixHoursAndAClockThatIsSetBackEndsIt) {
  const LiveKey key(Join(*home_));
  const absl::Time due = now_ + kCertificateLife - 100 * kDay;
  std::vector<absl::Time> tries;
  Renewal renewal(key, [&](absl::Time now) {
    tries.push_back(now);
    return absl::UnavailableError("the coordinator is away");
  });
  absl::Time now = due;
  for (; now < due + 20 * kDay; now += absl::Minutes(30)) renewal.Look(now);
  EXPECT_EQ(tries.back() - tries[tries.size() - 2], Renewal::kLongestPause);
  const size_t before = tries.size();
  renewal.Look(due - kDay);
  EXPECT_EQ(tries.size(), before + 1);
}

TEST_F(RenewalTest, KeyWithoutACertificateIsLeftAlone) {
  Renewal renewal({}, [](absl::Time) {
    ADD_FAILURE();
    return absl::OkStatus();
  });
  renewal.Look(now_);
}

class FakeLan final : public Lan {
 public:
  absl::StatusOr<LanAddresses> Open() override { return absl::UnimplementedError("no other machines"); }
  std::string server() override { return ""; }
  absl::StatusOr<std::vector<Applicant>> Waiting() override { return std::vector<Applicant>(); }
  absl::StatusOr<Applicant> Decide(const std::string&, bool) override { return absl::NotFoundError("none"); }
};

// The same through the coordinator's encrypted port. Time is the system's, which TLS goes by; the host has
// joined seventeen months before.
class RenewalByCallTest : public RenewalTest {
 protected:
  RenewalByCallTest() { Serve("127.0.0.1:0"); }

  ConnectionKey JoinLongAgo(absl::Duration ago) {
    const absl::Time today = std::exchange(now_, now_ - ago);
    ConnectionKey key = Join(*home_);
    now_ = today;
    return key;
  }
  void Serve(const std::string& address) {
    port_ = EncryptedPort::Open(address, *home_, [this](grpc::ServerBuilder& builder) {
              builder.RegisterService(service_.get());
            }).value();
    address_ = port_->address();
  }
  absl::Status Renew(const LiveKey& key) {
    return RenewAtCoordinator(
        address_, key,
        [this](const ConnectionKey& renewed) {
          saved_.push_back(renewed);
          return save_;
        },
        now_);
  }

  FakeLan lan_;
  const std::unique_ptr<grpc::Service> service_ = MakeHomeService(*home_, lan_);
  std::unique_ptr<EncryptedPort> port_;
  std::string address_;
  std::vector<ConnectionKey> saved_;
  absl::Status save_;
};

TEST_F(RenewalByCallTest, HostHasANewCertificateAndKeepsIt) {
  const LiveKey key(JoinLongAgo(510 * kDay));
  const ConnectionKey before = key.get();
  ASSERT_TRUE(Renew(key).ok()) << Renew(key);
  EXPECT_EQ(EndOf(key), now_ + kCertificateLife);
  EXPECT_EQ(key.get().private_key_pem, before.private_key_pem);
  EXPECT_EQ(key.get().authority_pem, before.authority_pem);
  ASSERT_THAT(saved_, SizeIs(1));
  EXPECT_EQ(saved_[0].certificate_pem, key.get().certificate_pem);
  EXPECT_EQ(home_->Recognise(key.get().certificate_pem)->name, "b");
}

TEST_F(RenewalByCallTest, CoordinatorThatIsAwayIsAskedAgainLater) {
  const LiveKey key(JoinLongAgo(510 * kDay));
  const absl::Time end = EndOf(key);
  Renewal renewal(key, [&](absl::Time) { return Renew(key); });
  port_.reset();
  renewal.Look(now_);
  EXPECT_EQ(EndOf(key), end);
  EXPECT_EQ(Renew(key).code(), absl::StatusCode::kUnavailable);
  Serve(address_);
  renewal.Look(now_ + Renewal::kFirstPause / 2);
  EXPECT_EQ(EndOf(key), end);
  renewal.Look(now_ + Renewal::kFirstPause);
  EXPECT_EQ(EndOf(key), now_ + kCertificateLife);
}

TEST_F(RenewalByCallTest, ForgottenHostIsRefused) {
  const LiveKey key(JoinLongAgo(510 * kDay));
  const std::string shown = key.get().certificate_pem;
  ASSERT_TRUE(home_->Remove("b", {Role::kHost}).ok());
  EXPECT_EQ(Renew(key).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(key.get().certificate_pem, shown);
  EXPECT_THAT(saved_, SizeIs(0));
}

TEST_F(RenewalByCallTest, HostThatCannotKeepItDoesNotShowIt) {
  const LiveKey key(JoinLongAgo(510 * kDay));
  const std::string shown = key.get().certificate_pem;
  save_ = absl::UnavailableError("the disk is full");
  EXPECT_THAT(Renew(key).message(), HasSubstr("the disk is full"));
  EXPECT_EQ(key.get().certificate_pem, shown);
}

TEST_F(RenewalByCallTest, CertificateThatIsOverIsNotRenewedAndTheWordsSayWhatToDo) {
  const LiveKey key(JoinLongAgo(kCertificateLife + 2 * kDay));
  const absl::Status refused = Renew(key);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(refused.message(), HasSubstr("the certificate of b was good until"));
  EXPECT_THAT(refused.message(), HasSubstr("`hearth invite`"));
}

TEST_F(RenewalByCallTest, HostWhoseClockIsAYearBehindIsToldOfBothTimes) {
  const LiveKey key(JoinLongAgo(510 * kDay));
  const std::string shown = key.get().certificate_pem;
  const absl::Time wrong = now_ - 365 * kDay;
  const absl::Status refused = RenewAtCoordinator(
      address_, key, [](const ConnectionKey&) { return absl::OkStatus(); }, wrong);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr(absl::StrCat("the clock of this machine says ", DayText(wrong))));
  EXPECT_THAT(refused.message(), HasSubstr(absl::StrCat("is from ", DayText(now_ - kClockTolerance))));
  EXPECT_EQ(key.get().certificate_pem, shown);
}

TEST_F(RenewalByCallTest, CallOnAPlainPortIsRefused) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  const auto service = MakeHomeService(*home_, lan_);
  builder.RegisterService(service.get());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  v1::Home::Stub stub(OpenChannel(absl::StrCat("127.0.0.1:", port), {}));
  grpc::ClientContext context;
  v1::RenewedCertificate renewed;
  EXPECT_EQ(stub.RenewCertificate(&context, {}, &renewed).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

}  // namespace
}  // namespace hearth
