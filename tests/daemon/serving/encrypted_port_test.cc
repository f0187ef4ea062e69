#include "daemon/serving/encrypted_port.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <list>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/identity/tls_context.h"
#include "daemon/joining/home_service.h"
#include "proto/channel.h"
#include "proto/hearth/v1/home.grpc.pb.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

TEST(MayCall, RolesHaveTheirMethodsAndNobodyTheOthers) {
  for (const char* method : {"/hearth.v1.Membership/Synchronize", "/hearth.v1.Weights/FetchBundles",
                             "/hearth.v1.Home/RenewCertificate", "/hearth.v1.Standby/GetHomeState"}) {
    EXPECT_TRUE(MayCall(Role::kHost, method));
    EXPECT_FALSE(MayCall(Role::kClient, method));
    EXPECT_FALSE(MayCall(Role::kAdmin, method));
  }
  for (const char* method : {"/hearth.v1.Models/Load", "/hearth.v1.Models/Unload", "/hearth.v1.Home/Invite",
                             "/hearth.v1.Home/DecideApplicant", "/hearth.v1.Cluster/Wake"}) {
    EXPECT_FALSE(MayCall(Role::kHost, method));
    EXPECT_FALSE(MayCall(Role::kClient, method));
    EXPECT_TRUE(MayCall(Role::kAdmin, method));
  }
  for (const Role role : {Role::kHost, Role::kClient, Role::kAdmin}) {
    EXPECT_FALSE(MayCall(role, "/hearth.v1.Standby/Promote"));
    EXPECT_TRUE(MayCall(role, "/hearth.v1.Generation/Generate"));
    EXPECT_TRUE(MayCall(role, "/hearth.v1.Models/List"));
    EXPECT_TRUE(MayCall(role, "/grpc.health.v1.Health/Check"));
    for (const char* method : {"", "/", "/hearth.v1.Secret/Get", "hearth.v1.Models/List"}) {
      EXPECT_FALSE(MayCall(role, method)) << method;
    }
  }
  EXPECT_FALSE(MayCall(Role::kCoordinator, "/hearth.v1.Models/List"));
}

class FakeLan final : public Lan {
 public:
  absl::StatusOr<LanAddresses> Open() override { return LanAddresses{{"192.168.1.10:7772"}, server()}; }
  std::string server() override { return "192.168.1.10:7771"; }
  absl::StatusOr<std::vector<Applicant>> Waiting() override { return std::vector<Applicant>(); }
  absl::StatusOr<Applicant> Decide(const std::string&, bool) override { return absl::NotFoundError("none"); }
};

// The port with the service of home.proto behind it.
class EncryptedPortTest : public ::testing::Test {
 protected:
  EncryptedPortTest() {
    home_->SetRemovedListener([this](const HostId& id) { port_->EndCallsOf(id); });
  }

  v1::Home::Stub Stub(const ConnectionKey& key) { return v1::Home::Stub(OpenChannel(port_->address(), key)); }
  ConnectionKey Key(const std::string& name, Role role) { return home_->MakeKey(name, role, "").value(); }
  static grpc::Status List(v1::Home::Stub& stub) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    v1::ListMembersResponse response;
    return stub.ListMembers(&context, {}, &response);
  }

  TemporaryState state_, elsewhere_;
  const std::unique_ptr<Home> home_ = Home::Open(state_.path(), "a").value();
  FakeLan lan_;
  const std::unique_ptr<grpc::Service> service_ = MakeHomeService(*home_, lan_);
  const std::unique_ptr<EncryptedPort> port_ =
      EncryptedPort::Open("127.0.0.1:0", *home_, [this](grpc::ServerBuilder& builder) {
        builder.RegisterService(service_.get());
      }).value();
};

TEST_F(EncryptedPortTest, AdminIsAnsweredAndAClientToldWhatItLacks) {
  v1::Home::Stub admin = Stub(Key("root", Role::kAdmin));
  EXPECT_TRUE(List(admin).ok()) << List(admin).error_message();
  v1::Home::Stub client = Stub(Key("anna", Role::kClient));
  const grpc::Status refused = List(client);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(refused.error_message(), HasSubstr("anna has the role client and may not call"));
}

TEST_F(EncryptedPortTest, StrangersDoNotGetThroughTheHandshake) {
  const auto other = Home::Open(elsewhere_.path(), "x").value();
  ConnectionKey stranger = other->MakeKey("eve", Role::kAdmin, "").value();
  v1::Home::Stub of_another_home = Stub(stranger);
  EXPECT_EQ(List(of_another_home).error_code(), grpc::StatusCode::UNAVAILABLE);
  stranger.authority_pem = home_->key().authority_pem;  // she knows ours, but has nothing from it
  v1::Home::Stub pretender = Stub(stranger);
  EXPECT_EQ(List(pretender).error_code(), grpc::StatusCode::UNAVAILABLE);
  v1::Home::Stub plain = Stub({});
  EXPECT_EQ(List(plain).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(EncryptedPortTest, ServerOfAnotherHomeIsNotTrusted) {
  const auto other = Home::Open(elsewhere_.path(), "x").value();
  ConnectionKey ours = Key("root", Role::kAdmin);
  ours.authority_pem = other->key().authority_pem;
  v1::Home::Stub stub = Stub(ours);
  EXPECT_EQ(List(stub).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(EncryptedPortTest, RevokedKeyIsRefusedOnItsOpenConnection) {
  v1::Home::Stub admin = Stub(Key("root", Role::kAdmin));
  ASSERT_TRUE(List(admin).ok());
  ASSERT_TRUE(home_->Remove("root", {Role::kAdmin}).ok());
  const grpc::Status refused = List(admin);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(refused.error_message(), HasSubstr("does not belong to this home any more"));
}

TEST_F(EncryptedPortTest, InvitationAndKeysAreMadeAndTakenBackByCalls) {
  v1::Home::Stub admin = Stub(Key("root", Role::kAdmin));
  grpc::ClientContext first, second, third, fourth;
  v1::Invitation invitation;
  ASSERT_TRUE(admin.Invite(&first, {}, &invitation).ok());
  EXPECT_EQ(ParseJoinCode(invitation.code())->addresses, std::vector<std::string>{"192.168.1.10:7772"});
  v1::CreateKeyRequest create;
  create.set_name("anna");
  v1::Key key;
  ASSERT_TRUE(admin.CreateKey(&second, create, &key).ok());
  const auto parsed = ParseConnectionKey(key.file());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(home_->Recognise(parsed->certificate_pem)->role, Role::kClient);
  v1::RemoveMemberRequest remove;
  remove.set_member("anna");
  v1::Member member;
  EXPECT_EQ(admin.RemoveMember(&third, remove, &member).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  remove.set_role(v1::ROLE_CLIENT);
  EXPECT_TRUE(admin.RemoveMember(&fourth, remove, &member).ok());
  EXPECT_FALSE(home_->Recognise(parsed->certificate_pem).ok());
}

TEST_F(EncryptedPortTest, NewCertificateOfTheCoordinatorIsShownWithoutARestart) {
  const auto port =
      EncryptedPort::Open(
          "127.0.0.1:0", *home_,
          [this](grpc::ServerBuilder& builder) { builder.RegisterService(service_.get()); }, absl::Seconds(1))
          .value();
  v1::Home::Stub open(OpenChannel(port->address(), Key("root", Role::kAdmin)));
  ASSERT_TRUE(List(open).ok());
  const auto shown = [&] {
    const auto deadline = FrameSocket::Clock::now() + std::chrono::seconds(30);
    const auto socket = FrameSocket::Connect(port->address(), deadline).value();
    return socket->StartTls(MakeStrangersTlsContext(), TlsEnd::kClient, deadline)->pem;
  };
  EXPECT_EQ(shown(), home_->key().certificate_pem);
  ASSERT_TRUE(home_->RenewOwn().ok());
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (shown() != home_->key().certificate_pem) ASSERT_LT(absl::Now(), deadline);
  EXPECT_TRUE(List(open).ok());
  v1::Home::Stub another(OpenChannel(port->address(), Key("second", Role::kAdmin)));
  EXPECT_TRUE(List(another).ok());
}

// The same, of a coordinator whose clock is wrong.
class WrongClockTest : public EncryptedPortTest {
 protected:
  // What is said of a call by a key that was made while the clock was right.
  grpc::Status CallWith(absl::Duration wrong) {
    const ConnectionKey key = Key("root", Role::kAdmin);
    const auto home = Home::Open(state_.path(), "a", [wrong] { return absl::Now() + wrong; }).value();
    const auto service = MakeHomeService(*home, lan_);
    const auto port = EncryptedPort::Open("127.0.0.1:0", *home, [&](grpc::ServerBuilder& builder) {
                        builder.RegisterService(service.get());
                      }).value();
    v1::Home::Stub stub(OpenChannel(port->address(), key));
    return List(stub);
  }
};

TEST_F(WrongClockTest, CoordinatorAYearAheadIsRefusedByItsCallersWithBothTimes) {
  const absl::Duration year = absl::Hours(24 * 365);
  const grpc::Status refused = CallWith(year);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(refused.error_message(),
              HasSubstr(absl::StrCat("the clock of this machine says ", DayText(absl::Now()))));
  EXPECT_THAT(refused.error_message(),
              HasSubstr(absl::StrCat("is from ", DayText(absl::Now() + year - kClockTolerance))));
}

TEST_F(WrongClockTest, CoordinatorAYearBehindTellsItsCallersWhatItsClockSays) {
  const absl::Duration year = absl::Hours(24 * 365);
  const grpc::Status refused = CallWith(-year);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(refused.error_message(),
              HasSubstr(absl::StrCat("the coordinator's clock says ", DayText(absl::Now() - year))));
  EXPECT_THAT(refused.error_message(), HasSubstr("the certificate of root is from "));
}

TEST_F(WrongClockTest, KeyThatIsOverIsToldSoInWords) {
  const auto old_home =
      Home::Open(elsewhere_.path(), "a", [] { return absl::Now() - kCertificateLife; }).value();
  const ConnectionKey key = old_home->MakeKey("root", Role::kAdmin, "").value();
  const auto home = Home::Open(elsewhere_.path(), "a", [] { return absl::Now() + absl::Hours(24); }).value();
  const auto port = EncryptedPort::Open("127.0.0.1:0", *home, [&](grpc::ServerBuilder& builder) {
                      builder.RegisterService(service_.get());
                    }).value();
  v1::Home::Stub stub(OpenChannel(port->address(), key));
  const grpc::Status refused = List(stub);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(refused.error_message(), HasSubstr("the certificate of root was good until"));
}

// They come from 127.0.0.`address` with bytes that are no handshake, and stay.
class Strangers {
 public:
  explicit Strangers(const std::string& address) : where_(ParseHostPort(address).value()) {}

  void Knock(int address, int times) {
    for (int i = 0; i < times; ++i) {
      boost::asio::ip::tcp::socket& socket = sockets_.emplace_back(context_);
      socket.open(boost::asio::ip::tcp::v4());
      socket.bind({boost::asio::ip::make_address(absl::StrCat("127.0.0.", address)), 0});
      socket.connect({boost::asio::ip::make_address(where_.host), where_.port});
      socket.send(boost::asio::buffer("hello", 5));
    }
  }

 private:
  const HostPort where_;
  boost::asio::io_context context_;
  std::list<boost::asio::ip::tcp::socket> sockets_;
};

TEST_F(EncryptedPortTest, StrangersOfOtherAddressesDoNotKeepMembersOut) {
  const ConnectionKey key = Key("root", Role::kAdmin);
  v1::Home::Stub open = Stub(key);
  ASSERT_TRUE(List(open).ok());
  Strangers strangers(port_->address());
  for (int address = 2; address < 12; ++address) strangers.Knock(address, 40);
  EXPECT_TRUE(List(open).ok());
  v1::Home::Stub another = Stub(key);
  EXPECT_TRUE(List(another).ok());
}

TEST_F(EncryptedPortTest, MembersConnectAsOftenAsTheyWant) {
  const ConnectionKey key = Key("root", Role::kAdmin);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) {
    v1::Home::Stub stub = Stub(key);
    ASSERT_TRUE(List(stub).ok()) << i;
  }
  // Strangers would have had eight connections, and one a second from then on.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

TEST_F(EncryptedPortTest, PortInUseIsAClearError) {
  const auto status = EncryptedPort::Open(port_->address(), *home_, [](grpc::ServerBuilder&) {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("--lan"));
}

}  // namespace
}  // namespace hearth
