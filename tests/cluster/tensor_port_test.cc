// Strangers on the tensor port: their connection is closed, the daemon goes on.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "tests/cluster/daemon_process.h"

namespace hearth {
namespace {

// Whether the peer closes the connection after it got `bytes`, without an answer.
bool ClosesAfter(const std::string& address, const std::string& bytes) {
  const size_t colon = address.rfind(':');
  sockaddr_in peer = {};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &peer.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&peer), sizeof(peer)), 0);
  (void)send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  pollfd wait = {fd, POLLIN, 0};
  const bool event = poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))) > 0;
  char answer;
  const bool closed = event && recv(fd, &answer, 1, 0) <= 0;
  close(fd);
  return closed;
}

// A frame header as frame.h describes it, written out by hand so that a change of the format is noticed.
std::string Header(uint16_t operation, uint64_t epoch, uint32_t rows, uint64_t payload_bytes) {
  std::string header(48, '\0');
  const auto put = [&](size_t at, auto value) { std::memcpy(header.data() + at, &value, sizeof(value)); };
  put(0, uint32_t{0x48545248});
  put(4, uint16_t{1});
  put(6, operation);
  put(8, epoch);
  put(28, rows);
  put(40, payload_bytes);
  return header;
}

class TensorPort : public ::testing::Test {
 protected:
  TensorPort()
      : coordinator_(folder_.path(), "coordinator",
                     {"--model", kSparseModel, "--context", "512", "--use-every-host"}),
        worker_(folder_.path(), "worker", {"--join", coordinator_.address()}),
        client_(coordinator_.address()) {
    EXPECT_TRUE(AwaitCluster(client_, [this](const auto& status) {
      for (const auto& host : status.hosts()) {
        if (host.name() == "worker") tensor_address_ = host.address();
      }
      return HostHasShare(status, "worker");
    }));
  }

  void ExpectUnharmed() {
    EXPECT_TRUE(worker_.IsRunning());
    EXPECT_EQ(GenerateTokens(client_, GreedyRequest("And God said", 10)).size(), 10u);
  }

  TemporaryFolder folder_;
  DaemonProcess coordinator_;
  DaemonProcess worker_;
  Client client_;
  std::string tensor_address_;
};

TEST_F(TensorPort, RandomBytesCloseTheConnectionAndHarmNothing) {
  std::mt19937 random(3);
  for (int attempt = 0; attempt < 20; ++attempt) {
    std::string bytes(48 + random() % 2000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_TRUE(ClosesAfter(tensor_address_, bytes)) << "attempt " << attempt;
  }
  ExpectUnharmed();
}

TEST_F(TensorPort, HelloWithAGuessedTokenIsRefused) {
  EXPECT_TRUE(ClosesAfter(tensor_address_, Header(1, 1, 0, 32) + std::string(32, 'x')));
  ExpectUnharmed();
}

TEST_F(TensorPort, WorkBeforeHelloOfAnEpochThatIsNotIsRefused) {
  EXPECT_TRUE(ClosesAfter(tensor_address_, Header(5, 999, 1, 768) + std::string(768, '\0')));
  ExpectUnharmed();
}

TEST_F(TensorPort, AnEnormousLengthIsRefusedBeforeAnythingIsAllocated) {
  const uint64_t before = worker_.ResidentBytes();
  EXPECT_TRUE(ClosesAfter(tensor_address_, Header(5, 1, 0xffffffffu, uint64_t{1} << 62)));
  EXPECT_TRUE(ClosesAfter(tensor_address_, Header(1, 1, 0, uint64_t{1} << 40)));
  EXPECT_LT(worker_.ResidentBytes(), before + (64u << 20));
  ExpectUnharmed();
}

}  // namespace
}  // namespace hearth
