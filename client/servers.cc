#include "client/servers.h"

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "proto/channel.h"

namespace hearth {
namespace {

constexpr int kMaxResponseBytes = 64 << 20;  // the tokens of a long text take more bytes than it
// How long each of several is tried.
constexpr absl::Duration kReachedWithin = absl::Milliseconds(500);

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const ConnectionKey& key) {
  grpc::ChannelArguments arguments = HearthChannelArguments();
  arguments.SetMaxReceiveMessageSize(kMaxResponseBytes);
  return OpenChannel(address, key, arguments);
}

}  // namespace

CalledServer::CalledServer(const std::string& address, const ConnectionKey& key)
    : name(address), channel(MakeChannel(address, key)) {}

Servers::Servers(const std::string& list, const ConnectionKey& key) {
  for (const std::string& address : std::vector<std::string>(absl::StrSplit(list, ',')))
    servers_.push_back(std::make_unique<CalledServer>(address, key));
}

CalledServer& Servers::Reachable() {
  if (servers_.size() > 1) AwaitReachable(kReachedWithin);
  return current();
}

CalledServer& Servers::current() const {
  MutexLock lock(&mutex_);
  return *servers_[used_];
}

void Servers::PassOver(const CalledServer& server) {
  MutexLock lock(&mutex_);
  if (servers_[used_].get() == &server) used_ = (used_ + 1) % servers_.size();
}

bool Servers::AwaitReachable(absl::Duration each) {
  for (size_t i = 0; i < servers_.size(); ++i) {
    const CalledServer& server = current();
    if (server.channel->WaitForConnected(absl::ToChronoTime(absl::Now() + each))) return true;
    PassOver(server);
  }
  return false;
}

}  // namespace hearth
