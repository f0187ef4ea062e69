#include "proto/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <vector>

#include "absl/time/clock.h"
#include "proto/certificates.h"
#include "proto/peer_check.h"

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

// gRPC calls back on threads that end with the last of the process's channels and servers that need them.
// Whoever lets go of that one waits for these threads; where it is one of them, at the end of a callback
// whose call was the last to hold its channel, it waits for itself in vain and goes on with what is freed by
// then (gRPC 1.51). So there is always one more: a channel that leads nowhere, with a call that has failed.
void KeepCallbackThreads() {
  struct Call {
    grpc::GenericStub stub{grpc::CreateChannel("", nullptr)};
    grpc::ClientContext context;
    grpc::Slice nothing;
    grpc::ByteBuffer request{&nothing, 1}, response;
  };
  [[maybe_unused]] static const Call* const kept = [] {
    auto* const call = new Call;
    call->stub.UnaryCall(&call->context, "/", {}, &call->request, &call->response,
                         [](const grpc::Status&) {});
    return call;
  }();
}

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const ConnectionKey& key) {
  namespace tls = grpc::experimental;
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<tls::StaticDataCertificateProvider>(
      std::vector<tls::IdentityKeyCertPair>{{key.private_key_pem, key.certificate_pem}}));
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(false);  // the check does, and has words for wrong clocks
  options.set_certificate_verifier(MakeVerifier([authority = key.authority_pem](const std::string& pem) {
    return CheckCoordinator(pem, authority, absl::Now());
  }));
  return tls::TlsCredentials(options);
}

}  // namespace

grpc::ChannelArguments HearthChannelArguments() {
  KeepCallbackThreads();
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
  return grpc::CreateCustomChannel(address, CredentialsOf(key), arguments);
}

grpc::Status Uncancelled(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::CANCELLED || status.error_message() != "CANCELLED")
    return status;
  return {grpc::StatusCode::UNAVAILABLE, "the daemon is stopping or begins another part; try again"};
}

void KeepConnectionsAlive(grpc::ServerBuilder& builder) {
  KeepCallbackThreads();
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kAskClientAfterMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kClientAnswersWithinMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kQuestionsApartMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

}  // namespace hearth
