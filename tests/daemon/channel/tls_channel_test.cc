// The tensor channel within TLS: who is answered, and that frames come as they were sent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/frame_socket_impl.h"
#include "daemon/channel/link_probe.h"
#include "daemon/channel/remote_device.h"
#include "daemon/channel/tensor_server.h"
#include "daemon/identity/home.h"
#include "proto/certificates.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

using boost::asio::ip::tcp;
using ::testing::HasSubstr;
using Clock = FrameSocket::Clock;

Clock::time_point Soon() { return Clock::now() + std::chrono::seconds(30); }

class TlsChannelTest : public ::testing::Test {
 protected:
  TlsChannelTest() {
    signal(SIGPIPE, SIG_IGN);
    token_.fill(7);
  }

  // A host's key from a home.
  static ConnectionKey HostKey(Home& home, const std::string& name) {
    const JoinCode code = ParseJoinCode(home.Invite({"127.0.0.1:1"}, absl::Hours(1))).value();
    ConnectionKey key;
    key.private_key_pem = MakePrivateKey();
    key.certificate_pem =
        home.Admit(code.secret, MakeSigningRequest(key.private_key_pem, name).value()).value();
    key.authority_pem = home.key().authority_pem;
    return key;
  }

  std::unique_ptr<TensorServer> Serve(const ConnectionKey& key) {
    auto server = TensorServer::Open("127.0.0.1:0", MakeTlsContext(key).value()).value();
    server->SetSession(token_);
    return server;
  }

  absl::Status Connect(const TensorServer& server, const TensorTls& tls) {
    return OpenTensorConnection(server.address(), token_, 0, Soon(), {}, tls).status();
  }

  TemporaryState state_, elsewhere_;
  const std::unique_ptr<Home> home_ = Home::Open(state_.path(), "a").value();
  const std::unique_ptr<Home> other_ = Home::Open(elsewhere_.path(), "x").value();
  const ConnectionKey worker_ = HostKey(*home_, "b");
  const HostId worker_id_ = IdOfPrivateKey(worker_.private_key_pem).value();
  const TensorTls coordinator_{MakeTlsContext(home_->key()).value(), worker_id_};
  SessionToken token_;
};

TEST_F(TlsChannelTest, CoordinatorReachesTheHostThatItMeans) {
  const auto server = Serve(worker_);
  EXPECT_TRUE(Connect(*server, coordinator_).ok()) << Connect(*server, coordinator_);
  EXPECT_TRUE(ProbeLink(server->address(), token_, coordinator_).ok());
}

TEST_F(TlsChannelTest, AnotherHostAtTheAddressIsNotTakenForIt) {
  const auto server = Serve(HostKey(*home_, "c"));
  EXPECT_THAT(Connect(*server, coordinator_).message(), HasSubstr("another host answers there"));
}

TEST_F(TlsChannelTest, OnlyTheCoordinatorOfTheHomeIsAnswered) {
  const auto server = Serve(worker_);
  const TlsContext stranger = MakeTlsContext(other_->key()).value();
  const TlsContext host = MakeTlsContext(HostKey(*home_, "c")).value();
  const TlsContext client = MakeTlsContext(home_->MakeKey("anna", Role::kClient, "").value()).value();
  for (const TlsContext& context : {stranger, host, client, TlsContext()}) {
    EXPECT_EQ(Connect(*server, {context, worker_id_}).code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_GE(server->refused(), 3u);
  EXPECT_TRUE(Connect(*server, coordinator_).ok());
}

TEST_F(TlsChannelTest, CertificateOfTheFutureIsRefusedWithWordsAboutTheClock) {
  TemporaryState later;
  const auto home = Home::Open(later.path(), "a", [] { return absl::Now() + absl::Hours(24 * 365); }).value();
  const ConnectionKey worker = HostKey(*home, "b");
  const auto server = Serve(worker);
  const TensorTls coordinator{MakeTlsContext(home->key()).value(),
                              IdOfPrivateKey(worker.private_key_pem).value()};
  const absl::Status refused = Connect(*server, coordinator);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refused.message(), HasSubstr("certificate is not yet valid"));
  EXPECT_THAT(refused.message(),
              HasSubstr(absl::StrCat("the clock of this machine says ", DayText(absl::Now()))));
}

TEST_F(TlsChannelTest, PlainServerIsNotTakenForAnEncryptedOne) {
  const auto plain = TensorServer::Open("127.0.0.1:0").value();
  plain->SetSession(token_);
  EXPECT_EQ(Connect(*plain, coordinator_).code(), absl::StatusCode::kUnavailable);
}

TEST_F(TlsChannelTest, LargeMessagesComeWholeInBothDirectionsAtOnce) {
  const auto server = Serve(worker_);
  auto socket = OpenTensorConnection(server->address(), token_, 0, Soon(), {}, coordinator_).value();
  std::vector<uint8_t> payload(kMaxPingBytes, 5);
  for (int i = 0; i < 20; ++i) {
    FrameHeader ping;
    ping.operation = FrameOperation::kPing;
    ping.step = static_cast<uint64_t>(i);
    ping.payload_bytes = payload.size();
    ASSERT_TRUE(socket->Send(ping, {payload}, Soon()).ok());
  }
  for (int i = 0; i < 20; ++i) {
    const auto pong = socket->ReceiveHeader(Soon());
    ASSERT_TRUE(pong.ok()) << pong.status();
    EXPECT_EQ(pong->step, static_cast<uint64_t>(i));
  }
}

TEST_F(TlsChannelTest, FrameThatFitsTheSocketInPartsComesAsItWasSent) {
  auto context = std::make_shared<boost::asio::io_context>(1);
  tcp::acceptor acceptor(*context, {boost::asio::ip::address_v4::loopback(), 0});
  const auto sender =
      FrameSocket::Connect(absl::StrCat("127.0.0.1:", acceptor.local_endpoint().port()), Soon()).value();
  FrameSocket receiver(std::make_unique<FrameSocket::Impl>(context, acceptor.accept()));
  std::thread host(
      [&] { EXPECT_TRUE(receiver.StartTls(MakeTlsContext(worker_).value(), TlsEnd::kServer, Soon()).ok()); });
  ASSERT_TRUE(sender->StartTls(coordinator_.context, TlsEnd::kClient, Soon()).ok());
  host.join();
  std::vector<uint8_t> first(100), second(16 << 20), third(70000);
  std::minstd_rand random;
  for (std::vector<uint8_t>* part : {&first, &second, &third}) {
    for (uint8_t& byte : *part) byte = static_cast<uint8_t>(random() >> 8);
  }
  FrameHeader header;
  header.operation = FrameOperation::kMix;
  header.payload_bytes = first.size() + second.size() + third.size();
  OutgoingFrame frame(header, {first, second, third});
  // Nobody reads yet: more than the system takes.
  ASSERT_TRUE(sender->SendSome(frame).ok());
  ASSERT_TRUE(sender->SendSome(frame).ok());
  ASSERT_FALSE(frame.sent());
  std::thread rest([&] { EXPECT_TRUE(sender->Send(frame, Soon()).ok()); });
  EXPECT_EQ(receiver.ReceiveHeader(Soon()).value(), header);
  for (const std::vector<uint8_t>& part : {first, second, third}) {
    std::vector<uint8_t> received(part.size());
    EXPECT_TRUE(receiver.Receive(absl::MakeSpan(received), Soon()).ok());
    EXPECT_TRUE(received == part);
  }
  rest.join();
}

// Strangers without an end, all from the leader's own address: silent ones that stay, others that say what is
// no TLS, and others that begin a handshake with a certificate of another home.
class Crowd {
 public:
  Crowd(std::string address, TlsContext context)
      : address_(std::move(address)), context_(std::move(context)) {
    for (int i = 0; i < 3; ++i) threads_.emplace_back([this, i] { Press(i); });
  }
  ~Crowd() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  int begun() const { return begun_; }

 private:
  void Press(int kind) {
    std::deque<std::unique_ptr<FrameSocket>> kept;
    while (!stop_) {
      auto socket = FrameSocket::Connect(address_, Soon());
      if (!socket.ok()) continue;
      ++begun_;
      if (kind == 1) (void)(*socket)->Send(FrameHeader(), {}, Soon());
      if (kind == 2) (void)(*socket)->StartTls(context_, TlsEnd::kClient, Soon());
      kept.push_back(*std::move(socket));
      if (kept.size() > 100) kept.pop_front();
    }
  }

  const std::string address_;
  const TlsContext context_;
  std::atomic<bool> stop_{false};
  std::atomic<int> begun_{0};
  std::vector<std::thread> threads_;
};

TEST_F(TlsChannelTest, LeaderGetsInAndItsFramesFlowWhileHundredsPressFromItsOwnAddress) {
  const auto server = Serve(worker_);
  const Crowd crowd(server->address(), MakeTlsContext(other_->key()).value());
  while (crowd.begun() < 300 || server->refused() < 50) std::this_thread::yield();
  for (int connection = 0; connection < 10; ++connection) {
    auto socket = OpenTensorConnection(server->address(), token_, 0, Soon(), {}, coordinator_);
    ASSERT_TRUE(socket.ok()) << connection << ": " << socket.status();
    const int before = crowd.begun();
    for (uint64_t i = 0; i < 100 || crowd.begun() < before + 50; ++i) {
      FrameHeader ping;
      ping.operation = FrameOperation::kPing;
      ping.step = i;
      ASSERT_TRUE((*socket)->Send(ping, {}, Soon()).ok());
      const auto pong = (*socket)->ReceiveHeader(Soon());
      ASSERT_TRUE(pong.ok()) << pong.status();
      EXPECT_EQ(pong->step, i);
    }
  }
}

TEST_F(TlsChannelTest, WhoDoesNotKnockIsAnsweredOnlySoOften) {
  const auto server = Serve(worker_);
  const TlsContext stranger = MakeTlsContext(other_->key()).value();
  int reset = 0;
  for (int i = 0; i < 50; ++i) {
    auto socket = FrameSocket::Connect(server->address(), Soon()).value();
    const absl::Status status = socket->StartTls(stranger, TlsEnd::kClient, Soon()).status();
    EXPECT_FALSE(status.ok());
    reset += absl::StrContains(status.message(), "closed by the other side");
  }
  EXPECT_GT(reset, 20) << "the others got as far as a certificate";
  EXPECT_TRUE(Connect(*server, coordinator_).ok()) << Connect(*server, coordinator_);
}

TEST_F(TlsChannelTest, LeaderOfAnOlderVersionThatDoesNotKnockIsAnswered) {
  const auto server = Serve(worker_);
  auto socket = FrameSocket::Connect(server->address(), Soon()).value();
  ASSERT_TRUE(socket->StartTls(coordinator_.context, TlsEnd::kClient, Soon()).ok());
  FrameHeader hello;
  hello.payload_bytes = token_.size();
  ASSERT_TRUE(socket->Send(hello, {token_}, Soon()).ok());
  EXPECT_EQ(socket->ReceiveHeader(Soon())->operation, FrameOperation::kWelcome);
}

TEST_F(TlsChannelTest, ClosedSocketEndsAWaitAtOnce) {
  const auto server = Serve(worker_);
  auto socket = OpenTensorConnection(server->address(), token_, 0, Soon(), {}, coordinator_).value();
  std::thread closer([&] { socket->Close(); });
  EXPECT_EQ(socket->ReceiveHeader(FrameSocket::kNoDeadline).status().code(), absl::StatusCode::kUnavailable);
  closer.join();
}

}  // namespace
}  // namespace hearth
