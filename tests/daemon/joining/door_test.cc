// Both ends of joining over loopback: Door and JoinHome, and callers that mean no good.
#include "daemon/joining/door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/joining/join_client.h"
#include "daemon/joining/join_protocol.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DoorTest : public ::testing::Test {
 protected:
  std::unique_ptr<Door> Open(DoorOptions options = {}) {
    options.listen = "127.0.0.1:0";
    options.grpc_port = 7771;
    return Door::Open(options, *home_).value();
  }
  JoinCode Invite(const Door& door) {
    return ParseJoinCode(home_->Invite({door.address()}, absl::Hours(1))).value();
  }
  static absl::StatusOr<ConnectionKey> Join(const JoinCode& code, absl::Time now = absl::Now()) {
    return JoinHome(code, MakePrivateKey(), "b", now);
  }

  std::atomic<int> hours_ahead_{0};  // of the coordinator's clock
  TemporaryState state_, elsewhere_;
  const std::unique_ptr<Home> home_ = Home::Open(state_.path(), "a", [this] {
                                        return absl::Now() + absl::Hours(hours_ahead_.load());
                                      }).value();
};

// Somebody who only opens a connection.
class Caller {
 public:
  explicit Caller(const std::string& address) : socket_(context_) {
    const HostPort where = ParseHostPort(address).value();
    socket_.connect({asio::ip::make_address(where.host), where.port});
  }
  // What comes until the other end closes.
  std::string ReadAll() {
    std::string all;
    boost::system::error_code error;
    asio::read(socket_, asio::dynamic_buffer(all), error);
    return all;
  }
  tcp::socket& socket() { return socket_; }

 private:
  asio::io_context context_;
  tcp::socket socket_;
};

TEST_F(DoorTest, InvitedHostGetsAKeyOfTheHome) {
  const auto door = Open();
  const auto key = Join(Invite(*door));
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->server, "127.0.0.1:7771");
  EXPECT_EQ(key->authority_pem, home_->key().authority_pem);
  EXPECT_EQ(home_->Recognise(key->certificate_pem)->name, "b");
}

TEST_F(DoorTest, SameHostMayAskAgainAndNobodyElse) {
  const auto door = Open();
  const JoinCode code = Invite(*door);
  const std::string key = MakePrivateKey();
  EXPECT_TRUE(JoinHome(code, key, "b", absl::Now()).ok());
  EXPECT_TRUE(JoinHome(code, key, "b", absl::Now()).ok());
  EXPECT_THAT(Join(code).status().message(), HasSubstr("used already"));
}

TEST_F(DoorTest, CodeThatHasExpiredOrIsUnknownIsRefusedForGood) {
  const auto door = Open();
  JoinCode code = Invite(*door);
  hours_ahead_ = 2;
  const absl::Status expired = Join(code).status();
  EXPECT_EQ(expired.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(expired.message(), HasSubstr("has expired"));
  code.secret.fill(1);
  EXPECT_THAT(Join(code).status().message(), HasSubstr("unknown here"));
}

TEST_F(DoorTest, SecretIsNotShownToAnotherHome) {
  const auto other = Home::Open(elsewhere_.path(), "x").value();
  DoorOptions options;
  options.listen = "127.0.0.1:0";
  const auto false_door = Door::Open(options, *other).value();
  JoinCode code = ParseJoinCode(home_->Invite({false_door->address()}, absl::Hours(1))).value();
  const absl::Status status = Join(code).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(status.message(), HasSubstr("is not the coordinator that made the join code"));
  // Had it been shown it would be unknown there; here it is still good, at the second address.
  const auto door = Open();
  code.addresses.push_back(door->address());
  EXPECT_TRUE(Join(code).ok());
}

// A host without a code, on a thread of its own.
class Asking {
 public:
  Asking(std::string door, std::string name)
      : thread_([this, door = std::move(door), name = std::move(name)] {
          key_ = AskToJoin({door}, MakePrivateKey(), name, absl::Now(), [this](const AtTheDoor& shown) {
            shown_.set_value(shown);
            return absl::OkStatus();
          });
        }) {}
  ~Asking() { Outcome(); }

  // Waits until it shows something.
  AtTheDoor Shown() { return shown_.get_future().get(); }
  const absl::StatusOr<ConnectionKey>& Outcome() {
    if (thread_.joinable()) thread_.join();
    return key_;
  }

 private:
  std::promise<AtTheDoor> shown_;
  absl::StatusOr<ConnectionKey> key_;
  std::thread thread_;
};

TEST_F(DoorTest, HostWithoutACodeIsLetInByTheDigitsThatItShows) {
  const auto door = Open();
  Asking b(door->address(), "b");
  const AtTheDoor shown = b.Shown();
  EXPECT_EQ(shown.coordinator, "a");
  EXPECT_EQ(shown.authority, ParseCertificate(home_->key().authority_pem)->id);
  const std::vector<Applicant> waiting = door->Waiting();
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0].code, shown.code);
  EXPECT_EQ(waiting[0].name, "b");
  EXPECT_EQ(waiting[0].address, "127.0.0.1");
  EXPECT_THAT(home_->members(), IsEmpty());

  EXPECT_EQ(door->Decide(shown.code, /*refuse=*/false)->name, "b");
  const auto& key = b.Outcome();
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->server, "127.0.0.1:7771");
  EXPECT_EQ(key->authority_pem, home_->key().authority_pem);
  const auto member = home_->Recognise(key->certificate_pem);
  ASSERT_TRUE(member.ok()) << member.status();
  EXPECT_EQ(member->id, waiting[0].id);
  EXPECT_EQ(member->role, Role::kHost);
  EXPECT_EQ(IdOfPrivateKey(key->private_key_pem).value(), member->id);
  EXPECT_THAT(door->Waiting(), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(door->Decide(shown.code, false).status()));
}

TEST_F(DoorTest, HostThatIsRefusedGetsNothingAndTheOtherIsLetIn) {
  const auto door = Open();
  Asking b(door->address(), "b"), c(door->address(), "c");
  const std::string of_b = b.Shown().code, of_c = c.Shown().code;
  EXPECT_EQ(door->Decide(of_c, /*refuse=*/true)->name, "c");
  EXPECT_EQ(c.Outcome().status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(c.Outcome().status().message(), HasSubstr("has refused"));
  EXPECT_THAT(home_->members(), IsEmpty());
  EXPECT_TRUE(door->Decide(of_b, false).ok());
  EXPECT_TRUE(b.Outcome().ok());
}

TEST_F(DoorTest, WrongDigitsLetNobodyIn) {
  auto door = Open();
  Asking b(door->address(), "b");
  const std::string code = b.Shown().code;
  const std::string wrong = code == "000000" ? "000001" : "000000";
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(absl::IsNotFound(door->Decide(wrong, false).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(door->Decide(code, false).status()));
  EXPECT_THAT(home_->members(), IsEmpty());
  door.reset();
  EXPECT_TRUE(absl::IsUnavailable(b.Outcome().status()));
  EXPECT_THAT(b.Outcome().status().message(), HasSubstr("start this again"));
}

TEST_F(DoorTest, HostThatNobodyDecidesAboutIsToldSo) {
  DoorOptions options;
  options.applicants_patience = std::chrono::milliseconds(20);
  const auto door = Open(options);
  Asking b(door->address(), "b");
  EXPECT_EQ(b.Outcome().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(b.Outcome().status().message(), HasSubstr("`hearth approve`"));
}

// One end of TLS that says what it likes.
class Talker {
 public:
  explicit Talker(const std::string& address) : caller_(address), stream_(caller_.socket(), context_) {
    stream_.handshake(asio::ssl::stream_base::client);
  }
  void Say(const std::string& message) { asio::write(stream_, asio::buffer(message)); }
  // The next message, without its length.
  std::vector<uint8_t> Hear() {
    std::vector<uint8_t> bytes(kJoinLengthBytes);
    asio::read(stream_, asio::buffer(bytes));
    bytes.resize(DecodeJoinLength(bytes).value());
    asio::read(stream_, asio::buffer(bytes));
    return bytes;
  }

 private:
  Caller caller_;
  asio::ssl::context context_{asio::ssl::context::tls_client};
  asio::ssl::stream<tcp::socket&> stream_;
};

TEST_F(DoorTest, WhoRevealsAnotherThingThanItHasCommittedToIsRefused) {
  const auto door = Open();
  JoinReveal reveal{{}, MakeSigningRequest(MakePrivateKey(), "b").value()};
  Talker talker(door->address());
  talker.Say(EncodeJoinCommitment(CommitmentTo(reveal)));
  ASSERT_TRUE(DecodeJoinNonce(talker.Hear()).ok());
  reveal.nonce[0] = 1;
  talker.Say(EncodeJoinReveal(reveal));
  EXPECT_THAT(DecodeJoinWaiting(talker.Hear()).message(), HasSubstr("committed"));
  EXPECT_THAT(door->Waiting(), IsEmpty());
}

TEST_F(DoorTest, RequestThatIsNoneAndTooManyTurnsAreRefused) {
  const auto door = Open();
  for (int i = 0; i < 5; ++i) {
    const JoinReveal reveal{{}, "no request"};
    Talker talker(door->address());
    talker.Say(EncodeJoinCommitment(CommitmentTo(reveal)));
    ASSERT_TRUE(DecodeJoinNonce(talker.Hear()).ok());
    talker.Say(EncodeJoinReveal(reveal));
    EXPECT_EQ(DecodeJoinWaiting(talker.Hear()).code(), absl::StatusCode::kInvalidArgument);
  }
  Talker talker(door->address());
  talker.Say(EncodeJoinCommitment({}));
  EXPECT_EQ(DecodeJoinNonce(talker.Hear()).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Join(Invite(*door)).ok());  // a code is as good as before
}

TEST_F(DoorTest, HostThatHasLeftWaitsNoMore) {
  const auto door = Open();
  {
    const JoinReveal reveal{{}, MakeSigningRequest(MakePrivateKey(), "b").value()};
    Talker talker(door->address());
    talker.Say(EncodeJoinCommitment(CommitmentTo(reveal)));
    talker.Hear();
    talker.Say(EncodeJoinReveal(reveal));
    EXPECT_TRUE(DecodeJoinWaiting(talker.Hear()).ok());
    EXPECT_EQ(door->Waiting().size(), 1u);
  }
  while (!door->Waiting().empty()) {  // its connection's end is on the way
  }
}

TEST_F(DoorTest, NobodyAtTheAddressIsUnavailable) {
  auto door = Open();
  const JoinCode code = Invite(*door);
  door.reset();
  const absl::Status status = Join(code).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr(code.addresses[0]));
}

TEST_F(DoorTest, HostWithAClockOfLastYearIsToldToSetIt) {
  const auto door = Open();
  const absl::Status status = Join(Invite(*door), absl::Now() - absl::Hours(24 * 365)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("set the clock"));
}

TEST_F(DoorTest, BytesThatAreNoTlsGetNothingButAnAlert) {
  const auto door = Open();
  Caller caller(door->address());
  asio::write(caller.socket(), asio::buffer(std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")));
  EXPECT_LT(caller.ReadAll().size(), 16u);
  EXPECT_TRUE(Join(Invite(*door)).ok());
}

TEST_F(DoorTest, EnormousAndMalformedMessagesEndTheVisit) {
  const auto door = Open();
  for (const std::string& message :
       {std::string("\xff\xff\xff\xff"), std::string(4, '\0'), EncodeJoinFields({"1", "short", "x"}),
        EncodeJoinFields({"1", std::string(16, 's'), "no request"})}) {
    Caller caller(door->address());
    asio::ssl::context context(asio::ssl::context::tls_client);
    asio::ssl::stream<tcp::socket&> stream(caller.socket(), context);
    stream.handshake(asio::ssl::stream_base::client);
    asio::write(stream, asio::buffer(message));
    std::vector<uint8_t> answer;
    boost::system::error_code error;
    asio::read(stream, asio::dynamic_buffer(answer), error);
    if (answer.size() > kJoinLengthBytes) {
      EXPECT_EQ(DecodeJoinAnswer(absl::MakeSpan(answer).subspan(kJoinLengthBytes)).status().code(),
                absl::StatusCode::kInvalidArgument);
    }
  }
  EXPECT_THAT(home_->members(), IsEmpty());
}

TEST_F(DoorTest, SilentCallersAreSentAwayAndKeepNobodyOut) {
  DoorOptions options;
  options.visitors = 8;
  options.per_address = 4;
  options.patience = std::chrono::milliseconds(60000);
  const auto door = Open(options);
  std::vector<std::unique_ptr<Caller>> silent;
  for (int i = 0; i < 30; ++i) silent.push_back(std::make_unique<Caller>(door->address()));
  EXPECT_TRUE(Join(Invite(*door)).ok());
  EXPECT_THAT(silent[0]->ReadAll(), IsEmpty());  // closed, though its time is not over
}

TEST_F(DoorTest, CallerWhoIsTooSlowIsSentAway) {
  DoorOptions options;
  options.patience = std::chrono::milliseconds(20);
  const auto door = Open(options);
  EXPECT_THAT(Caller(door->address()).ReadAll(), IsEmpty());
}

TEST_F(DoorTest, PortInUseIsAClearError) {
  const auto door = Open();
  DoorOptions options;
  options.listen = door->address();
  const absl::Status status = Door::Open(options, *home_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("--lan"));
}

}  // namespace
}  // namespace hearth
