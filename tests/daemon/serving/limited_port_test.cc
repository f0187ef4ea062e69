#include "daemon/serving/limited_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <list>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/channel/frame_socket.h"

namespace hearth {
namespace {

using boost::asio::ip::tcp;
using ::testing::HasSubstr;

constexpr std::chrono::hours kEver{1};  // in which no test waits for anything

// A port whose server greets each connection that it gets.
class LimitedPortTest : public ::testing::Test {
 protected:
  // Two connections for each address, and none after them.
  LimitedPortTest() {
    options_.listen = "127.0.0.1:0";
    options_.connections = {.per_second = 0, .burst = 2};
    options_.patience = kEver;
  }
  ~LimitedPortTest() override {
    port_.reset();
    for (const int descriptor : taken_) close(descriptor);
  }

  void Open() {
    port_ = LimitedPort::Open(options_, [this](int descriptor) {
              taken_.push_back(descriptor);
              EXPECT_EQ(send(descriptor, "!", 1, 0), 1);
            }).value();
    port_->Start();
  }

  // One more caller from 127.0.0.`address`, which says nothing.
  tcp::socket& Call(int address = 1) {
    tcp::socket& socket = callers_.emplace_back(context_);
    socket.open(tcp::v4());
    socket.bind({boost::asio::ip::make_address(absl::StrCat("127.0.0.", address)), 0});
    const HostPort where = ParseHostPort(port_->address()).value();
    socket.connect({boost::asio::ip::make_address(where.host), where.port});
    return socket;
  }
  static void Speak(tcp::socket& caller) { caller.send(boost::asio::buffer("hello", 5)); }
  // Whether the server gets the caller, in place of its being sent away: waits for either.
  static bool GoesOn(tcp::socket& caller) {
    char greeting = 0;
    boost::system::error_code error;
    caller.read_some(boost::asio::buffer(&greeting, 1), error);
    return !error && greeting == '!';
  }
  bool SpeaksAndGoesOn(int address = 1) {
    tcp::socket& caller = Call(address);
    Speak(caller);
    return GoesOn(caller);
  }
  static std::string PeerOf(tcp::socket& caller) {
    const tcp::endpoint own = caller.local_endpoint();
    return absl::StrCat("ipv4:", own.address().to_string(), ":", own.port());
  }

  LimitedPortOptions options_;
  boost::asio::io_context context_;
  std::list<tcp::socket> callers_;
  std::vector<int> taken_;  // the port's thread's
  std::unique_ptr<LimitedPort> port_;
};

TEST_F(LimitedPortTest, CallersGoOnWithWhatTheyHaveSent) {
  Open();
  EXPECT_TRUE(SpeaksAndGoesOn());
  EXPECT_TRUE(SpeaksAndGoesOn());
  port_.reset();
  ASSERT_EQ(taken_.size(), 2u);
  std::array<char, 8> heard;
  for (const int descriptor : taken_) {
    EXPECT_EQ(recv(descriptor, heard.data(), heard.size(), 0), 5);
    EXPECT_EQ(recv(descriptor, heard.data(), heard.size(), 0), -1);  // it does not block
  }
}

TEST_F(LimitedPortTest, SilentCallerIsSentAwayAfterPatienceAndTakesNothingFromItsNetwork) {
  options_.patience = std::chrono::milliseconds(10);
  Open();
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(GoesOn(Call()));
  options_.patience = kEver;
  Open();
  Call();
  Call().close();
  EXPECT_TRUE(SpeaksAndGoesOn());
  EXPECT_TRUE(SpeaksAndGoesOn());
}

TEST_F(LimitedPortTest, NetworkThatHasCalledTooOftenIsSentAwayAfterPatienceAndNoOther) {
  options_.patience = std::chrono::milliseconds(200);
  Open();
  EXPECT_TRUE(SpeaksAndGoesOn(2));
  EXPECT_TRUE(SpeaksAndGoesOn(2));
  EXPECT_FALSE(SpeaksAndGoesOn(2));
  EXPECT_FALSE(SpeaksAndGoesOn(2));
  EXPECT_TRUE(SpeaksAndGoesOn(3));
  EXPECT_TRUE(SpeaksAndGoesOn(3));
  EXPECT_FALSE(SpeaksAndGoesOn(3));
}

TEST_F(LimitedPortTest, CallerWaitsUntilAConnectionIsGivenBackToItsNetwork) {
  Open();
  EXPECT_TRUE(SpeaksAndGoesOn());
  EXPECT_TRUE(SpeaksAndGoesOn());
  tcp::socket& waits = Call();
  Speak(waits);
  port_->Welcome(PeerOf(callers_.front()));
  EXPECT_TRUE(GoesOn(waits));
}

TEST_F(LimitedPortTest, CallerThatHasGoneMeanwhileTakesNothing) {
  Open();
  EXPECT_TRUE(SpeaksAndGoesOn());
  EXPECT_TRUE(SpeaksAndGoesOn());
  for (int i = 0; i < 5; ++i) {
    tcp::socket& gone = Call();
    Speak(gone);
    gone.close();
  }
  tcp::socket& waits = Call();
  Speak(waits);
  port_->Welcome(PeerOf(callers_.front()));
  EXPECT_TRUE(GoesOn(waits));
}

TEST_F(LimitedPortTest, WhatIsGivenBackElsewhereOrForNobodyHelpsNoStranger) {
  options_.patience = std::chrono::milliseconds(200);
  Open();
  EXPECT_TRUE(SpeaksAndGoesOn());
  EXPECT_TRUE(SpeaksAndGoesOn());
  for (const char* peer : {"ipv4:127.0.0.9:1", "ipv6:%5B::1%5D:1", "ipv6:%5Bfe80::1%25eth0%5D:1",
                           "unix:/tmp/x", "ipv4:", "ipv6:%5B", "ipv4:x:1", "", ":", "unknown"}) {
    port_->Welcome(peer);
  }
  EXPECT_FALSE(SpeaksAndGoesOn());
}

TEST_F(LimitedPortTest, NetworkDoesNotGetMoreBackThanItsShare) {
  options_.patience = std::chrono::milliseconds(200);
  Open();
  EXPECT_TRUE(SpeaksAndGoesOn());
  for (int i = 0; i < 10; ++i) port_->Welcome(PeerOf(callers_.front()));
  EXPECT_TRUE(SpeaksAndGoesOn());
  EXPECT_TRUE(SpeaksAndGoesOn());
  EXPECT_FALSE(SpeaksAndGoesOn());
}

TEST_F(LimitedPortTest, OldestOfThoseThatWaitMakesRoomForOneMore) {
  options_.per_network = 2;
  options_.waiting = 3;
  Open();
  tcp::socket& first = Call();
  tcp::socket& second = Call();
  tcp::socket& third = Call();
  EXPECT_FALSE(GoesOn(first));  // its own network is full
  tcp::socket& other = Call(2);
  Call(3);
  EXPECT_FALSE(GoesOn(second));  // all are, and it is of the network that has most
  for (tcp::socket* const caller : {&third, &other}) {
    Speak(*caller);
    EXPECT_TRUE(GoesOn(*caller));
  }
}

TEST_F(LimitedPortTest, CallersOfThisMachineHaveNoLimitsWhereTheyAreSpared) {
  options_.spares_loopback = true;
  options_.connections.burst = 0;
  Open();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(SpeaksAndGoesOn(1 + i % 3)) << i;
  options_.spares_loopback = false;
  options_.patience = std::chrono::milliseconds(10);
  Open();
  EXPECT_FALSE(SpeaksAndGoesOn());
}

TEST_F(LimitedPortTest, Ipv4CallerOfAnIpv6PortIsItsNetworkStill) {
  options_.listen = "[::ffff:127.0.0.1]:0";
  options_.patience = std::chrono::milliseconds(200);
  Open();
  const std::string port = port_->address().substr(port_->address().rfind(':'));
  EXPECT_EQ(port_->address(), absl::StrCat("[::ffff:127.0.0.1]", port));
  const auto speaks_and_goes_on = [&] {
    tcp::socket& caller = callers_.emplace_back(context_);
    caller.connect({boost::asio::ip::make_address("127.0.0.1"), ParseHostPort(port_->address())->port});
    Speak(caller);
    return GoesOn(caller);
  };
  EXPECT_TRUE(speaks_and_goes_on());
  EXPECT_TRUE(speaks_and_goes_on());
  port_->Welcome(PeerOf(callers_.front()));
  EXPECT_TRUE(speaks_and_goes_on());
  EXPECT_FALSE(speaks_and_goes_on());
}

TEST_F(LimitedPortTest, OnceClosedItTakesNobodyAndThoseWhoWaitAreSentAway) {
  Open();
  tcp::socket& waits = Call();
  EXPECT_TRUE(SpeaksAndGoesOn());
  port_->Close();
  port_->Close();
  port_->Welcome(PeerOf(waits));
  EXPECT_FALSE(GoesOn(waits));
  EXPECT_THROW(Call(), boost::system::system_error);
}

TEST_F(LimitedPortTest, PortInUseAndNoAddressAreClearErrors) {
  Open();
  const auto in_use =
      LimitedPort::Open({.listen = port_->address(), .advice = "choose another"}, [](int) {}).status();
  EXPECT_EQ(in_use.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(in_use.message(), HasSubstr(absl::StrCat("cannot listen on ", port_->address(), ": ")));
  EXPECT_THAT(in_use.message(), HasSubstr("; choose another"));
  for (const char* address : {"192.0.2.1:0", "no-such-name.invalid:0"}) {
    EXPECT_EQ(LimitedPort::Open({.listen = address}, [](int) {}).status().code(),
              absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(LimitedPort::Open({.listen = "here"}, [](int) {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hearth
