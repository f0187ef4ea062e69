#include "proto/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

namespace hearth {
namespace {

// How long a connection may be silent before its other end is asked whether it is there, and how long the
// answer may take. A server asks later: a client that was stopped for a moment is to find its stream again.
constexpr int kAskServerAfterMs = 1000;
constexpr int kServerAnswersWithinMs = 2000;
constexpr int kAskClientAfterMs = 10000;
constexpr int kClientAnswersWithinMs = 20000;
// A server bears with questions that come as often as this.
constexpr int kQuestionsApartMs = 500;
// Between two attempts to connect, the first and the last; the latter also bounds an attempt.
constexpr int kFirstPauseMs = 100;
constexpr int kLongestPauseMs = 1000;

}  // namespace

grpc::ChannelArguments HearthChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kAskServerAfterMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kServerAnswersWithinMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstPauseMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kLongestPauseMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestPauseMs);
  return arguments;
}

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address, const ConnectionKey& key,
                                           grpc::ChannelArguments arguments) {
  if (key.empty()) return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  arguments.SetSslTargetNameOverride(kCoordinatorHostName);
  return grpc::CreateCustomChannel(address,
                                   grpc::SslCredentials({.pem_root_certs = key.authority_pem,
                                                         .pem_private_key = key.private_key_pem,
                                                         .pem_cert_chain = key.certificate_pem}),
                                   arguments);
}

void KeepConnectionsAlive(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kAskClientAfterMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kClientAnswersWithinMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kQuestionsApartMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

}  // namespace hearth
