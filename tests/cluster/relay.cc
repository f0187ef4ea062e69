#include "tests/cluster/relay.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

sockaddr_in Parse(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in parsed = {};
  parsed.sin_family = AF_INET;
  parsed.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  EXPECT_EQ(inet_pton(AF_INET, address.substr(0, colon).c_str(), &parsed.sin_addr), 1) << address;
  return parsed;
}

int NewSocket() { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }

}  // namespace

Relay::Relay(const std::string& target)
    : target_(target), listener_(NewSocket()), wake_(eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in own = Parse("127.0.0.1:0");
  socklen_t length = sizeof(own);
  EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&own), length), 0);
  EXPECT_EQ(listen(listener_, SOMAXCONN), 0);
  EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&own), &length), 0);
  address_ = absl::StrCat("127.0.0.1:", ntohs(own.sin_port));
  thread_ = std::thread([this] { Run(); });
}

Relay::~Relay() {
  stopped_ = true;
  SetSilent(false);
  thread_.join();
  for (const Pair& pair : pairs_) {
    for (const int end : pair.ends) close(end);
  }
  close(listener_);
  close(wake_);
}

void Relay::SetSilent(bool silent) {
  silent_ = silent;
  const uint64_t one = 1;
  EXPECT_EQ(write(wake_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
}

void Relay::Run() {
  while (!stopped_) {
    std::vector<pollfd> waits = {{wake_, POLLIN, 0}};
    if (!silent_) {
      waits.push_back({listener_, POLLIN, 0});
      for (const Pair& pair : pairs_) {
        for (const int end : pair.ends) waits.push_back({end, POLLIN, 0});
      }
    }
    poll(waits.data(), waits.size(), -1);
    if (waits[0].revents != 0) {
      uint64_t count;
      (void)!read(wake_, &count, sizeof(count));
      continue;  // with what is to be waited for now
    }
    for (size_t i = pairs_.size(); i-- > 0;) {
      const Pair pair = pairs_[i];
      const bool open = (waits[2 + 2 * i].revents == 0 || Pass(pair.ends[0], pair.ends[1])) &&
                        (waits[3 + 2 * i].revents == 0 || Pass(pair.ends[1], pair.ends[0]));
      if (open) continue;
      for (const int end : pair.ends) close(end);
      pairs_.erase(pairs_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (waits[1].revents != 0) Accept();
  }
}

void Relay::Accept() {
  const Pair pair = {{accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC), NewSocket()}};
  const sockaddr_in target = Parse(target_);
  if (connect(pair.ends[1], reinterpret_cast<const sockaddr*>(&target), sizeof(target)) == 0) {
    pairs_.push_back(pair);
  } else {
    for (const int end : pair.ends) close(end);
  }
}

bool Relay::Pass(int from, int to) {
  char buffer[1 << 16];
  const ssize_t got = recv(from, buffer, sizeof(buffer), 0);
  if (got <= 0) return false;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t more = send(to, buffer + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
    if (more <= 0) return false;
    sent += more;
  }
  return true;
}

}  // namespace hearth
