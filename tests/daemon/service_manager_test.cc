#include "daemon/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::HasSubstr;

// A service manager's end: a datagram socket at a path, or at "@NAME".
class Listener {
 public:
  explicit Listener(const std::string& name) : name_(name), fd_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address), size), 0) << name;
  }
  ~Listener() {
    close(fd_);
    unlink(name_.c_str());
  }

  // The next message; "" when none has come.
  std::string Next() {
    std::array<char, 4096> buffer;
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    return got < 0 ? "" : std::string(buffer.data(), static_cast<size_t>(got));
  }

 private:
  const std::string name_;
  const int fd_;
};

std::string SocketPath() { return absl::StrCat(testing::TempDir(), "/notify_", getpid()); }

class EnvironmentTest : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }
};

TEST(ServiceManagerTest, HearsEveryStepOfALife) {
  Listener listener(SocketPath());
  const ServiceManager manager(SocketPath(), absl::Seconds(1));
  EXPECT_TRUE(manager.Ready("ready on 127.0.0.1:7770").ok());
  EXPECT_EQ(listener.Next(), "READY=1\nSTATUS=ready on 127.0.0.1:7770");
  EXPECT_TRUE(manager.Alive("well").ok());
  EXPECT_EQ(listener.Next(), "WATCHDOG=1\nSTATUS=well");
  EXPECT_TRUE(manager.Stopping().ok());
  EXPECT_EQ(listener.Next(), "STOPPING=1\nSTATUS=stopping");
  EXPECT_EQ(listener.Next(), "");
}

TEST(ServiceManagerTest, AbstractSocketsAreReached) {
  const std::string name = absl::StrCat("@hearth-test-", getpid());
  Listener listener(name);
  EXPECT_TRUE(ServiceManager(name, absl::ZeroDuration()).Alive("well").ok());
  EXPECT_EQ(listener.Next(), "WATCHDOG=1\nSTATUS=well");
}

TEST(ServiceManagerTest, StatusCannotBringOtherLines) {
  Listener listener(SocketPath());
  EXPECT_TRUE(ServiceManager(SocketPath(), absl::ZeroDuration()).Ready("a\nMAINPID=1").ok());
  EXPECT_EQ(listener.Next(), "READY=1\nSTATUS=a\\nMAINPID=1");
}

TEST(ServiceManagerTest, WithoutOneNothingIsSentAndAllIsWell) {
  const ServiceManager manager("", absl::ZeroDuration());
  EXPECT_TRUE(manager.Ready("ready").ok());
  EXPECT_TRUE(manager.Stopping().ok());
}

TEST(ServiceManagerTest, OneThatCannotBeReachedIsNamed) {
  for (const std::string& socket : {testing::TempDir() + "/nobody", std::string("relative"),
                                    std::string("@nobody-here"), "/" + std::string(200, 'x')}) {
    const absl::Status status = ServiceManager(socket, absl::ZeroDuration()).Alive("well");
    EXPECT_TRUE(absl::IsUnavailable(status)) << socket;
    EXPECT_THAT(std::string(status.message()), HasSubstr("NOTIFY_SOCKET")) << socket;
  }
}

TEST_F(EnvironmentTest, IsTakenAndLeavesNothingToChildren) {
  Listener listener(SocketPath());
  setenv("NOTIFY_SOCKET", SocketPath().c_str(), 1);
  setenv("WATCHDOG_USEC", "60000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  const ServiceManager manager = ServiceManager::Take();
  EXPECT_EQ(manager.watchdog(), absl::Seconds(60));
  EXPECT_TRUE(manager.Alive("well").ok());
  EXPECT_EQ(listener.Next(), "WATCHDOG=1\nSTATUS=well");
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    EXPECT_EQ(std::getenv(name), nullptr) << name;
  }
}

TEST_F(EnvironmentTest, EmptyMeansNoManager) {
  const ServiceManager manager = ServiceManager::Take();
  EXPECT_EQ(manager.watchdog(), absl::ZeroDuration());
  EXPECT_TRUE(manager.Alive("well").ok());
}

TEST_F(EnvironmentTest, AWatchdogOfAnotherProcessOrWithoutATimeIsNone) {
  setenv("WATCHDOG_USEC", "1000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(ServiceManager::Take().watchdog(), absl::ZeroDuration());
  for (const char* time : {"", "0", "-1", "soon", "99999999999999999999"}) {
    setenv("WATCHDOG_USEC", time, 1);
    EXPECT_EQ(ServiceManager::Take().watchdog(), absl::ZeroDuration()) << time;
  }
}

}  // namespace
}  // namespace hearth
