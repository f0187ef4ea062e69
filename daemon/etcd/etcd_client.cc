#include "daemon/etcd/etcd_client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "proto/etcdserverpb/rpc.grpc.pb.h"

namespace hearth {
namespace {

namespace etcd = ::etcdserverpb;

constexpr int kMostAnswerBytes = 256 << 20;
// Between two attempts to connect; the latter also bounds one.
constexpr int kFirstPauseMs = 100;
constexpr int kLongestPauseMs = 1000;
constexpr int kReadAllTries = 3;
constexpr int kMostKeys = 1 << 20;  // of one prefix

std::shared_ptr<grpc::Channel> Connect(const std::string& endpoint, const EtcdOptions& options) {
  // Not those of Hearth's own connections: etcd closes what asks it for signs of life. Calls have deadlines.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstPauseMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kLongestPauseMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestPauseMs);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kMostAnswerBytes);
  if (options.authority_pem.empty())
    return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
  return grpc::CreateCustomChannel(endpoint,
                                   grpc::SslCredentials({.pem_root_certs = options.authority_pem,
                                                         .pem_private_key = options.key_pem,
                                                         .pem_cert_chain = options.certificate_pem}),
                                   arguments);
}

bool MentionsTls(const std::string& message) {
  for (const char* word : {"handshake", "certificate", "CERTIFICATE", "SSL", "tls:"}) {
    if (absl::StrContains(message, word)) return true;
  }
  return false;
}

}  // namespace

struct EtcdClient::Member {
  Member(const std::string& name, const EtcdOptions& options)
      : endpoint(name), channel(Connect(name, options)) {}

  const std::string endpoint;
  const std::shared_ptr<grpc::Channel> channel;
  etcd::KV::Stub kv{channel};
  etcd::Lease::Stub lease{channel};
};

EtcdClient::EtcdClient(EtcdOptions options) : options_(std::move(options)) {
  for (const std::string& endpoint : options_.endpoints)
    members_.push_back(std::make_unique<Member>(endpoint, options_));
}

EtcdClient::~EtcdClient() = default;

absl::Status EtcdClient::TryEach(const Call& call) {
  const size_t first = answers_;
  absl::Status problem;
  for (size_t i = 0; i < members_.size(); ++i) {
    const size_t at = (first + i) % members_.size();
    // gRPC connects anew while somebody waits for it; calls that fail at once do not. What is wrong they say.
    (void)members_[at]->channel->WaitForConnected(absl::ToChronoTime(absl::Now() + options_.patience / 2));
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + options_.patience));
    const grpc::Status status = call(*members_[at], context);
    if (status.ok()) {
      answers_ = at;
      return absl::OkStatus();
    }
    const absl::Status explained = Explain(status, members_[at]->endpoint);
    // What a certificate spoils says more than that another member is away.
    if (problem.ok() || absl::IsFailedPrecondition(explained)) problem = explained;
    const bool elsewhere = absl::IsUnavailable(explained) || absl::IsDeadlineExceeded(explained) ||
                           absl::IsFailedPrecondition(explained);
    if (!elsewhere) return explained;
  }
  return problem;
}

absl::Status EtcdClient::Explain(const grpc::Status& status, const std::string& endpoint) const {
  const std::string& message = status.error_message();
  const std::string who = absl::StrCat("etcd at ", endpoint);
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return absl::DeadlineExceededError(absl::StrCat(who, " has not answered for ",
                                                      absl::FormatDuration(options_.patience),
                                                      ": look whether its machine or disk is overloaded"));
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      if (!absl::StrContains(message, "database space exceeded")) break;
      return absl::ResourceExhaustedError(
          absl::StrCat(who,
                       " has used up its space: compact and defragment it, then `etcdctl alarm disarm`; "
                       "--auto-compaction-retention of etcd keeps it small"));
    case grpc::StatusCode::UNAVAILABLE:
      if (absl::StrContains(message, "etcdserver:")) {
        return absl::UnavailableError(absl::StrCat(who, " answers \"", Printable(message),
                                                   "\": most of its members have to be running"));
      }
      if (!options_.authority_pem.empty() && MentionsTls(message)) {
        return absl::FailedPreconditionError(
            absl::StrCat(who,
                         " shows no certificate of --state-store-ca for this name, or takes none of ours "
                         "(--state-store-cert): ",
                         Printable(message)));
      }
      return absl::UnavailableError(absl::StrCat(
          who, " cannot be reached: start it, or correct --state-store",
          options_.authority_pem.empty() ? "; if it speaks TLS, give --state-store-ca"
                                         : "; if it wants a certificate, give --state-store-cert"));
    default:
      break;
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat(who, ": ", Printable(message)));
}

absl::StatusOr<std::optional<etcd::KeyValue>> EtcdClient::Get(const std::string& key) {
  etcd::RangeRequest request;
  request.set_key(key);
  HEARTH_ASSIGN_OR_RETURN(const etcd::RangeResponse response, Range(request));
  if (response.kvs().empty()) return std::nullopt;
  return response.kvs(0);
}

absl::StatusOr<EtcdClient::KeyValues> EtcdClient::ReadAll(const std::string& prefix, int64_t page) {
  absl::Status problem;
  for (int i = 0; i < kReadAllTries; ++i) {
    KeyValues all;
    etcd::RangeRequest request;
    request.set_key(prefix);
    request.set_range_end(EndOfPrefix(prefix));
    request.set_limit(page);
    for (;;) {
      const absl::StatusOr<etcd::RangeResponse> response = Range(request);
      problem = response.status();
      if (!response.ok()) break;
      all.insert(all.end(), response->kvs().begin(), response->kvs().end());
      if (!response->more() || response->kvs().empty()) return all;
      if (all.size() > kMostKeys) {
        return absl::ResourceExhaustedError(
            absl::StrCat("etcd has too many keys below ", prefix, ": choose another prefix"));
      }
      request.set_key(all.back().key() + '\0');
      request.set_revision(response->header().revision());
    }
    // Compacted between two pages: once more.
    if (!absl::IsOutOfRange(problem)) return problem;
  }
  return problem;
}

absl::StatusOr<etcd::RangeResponse> EtcdClient::Range(const etcd::RangeRequest& request) {
  etcd::RangeResponse response;
  HEARTH_RETURN_IF_ERROR(TryEach([&](Member& member, grpc::ClientContext& context) {
    response.Clear();
    return member.kv.Range(&context, request, &response);
  }));
  return response;
}

absl::StatusOr<etcd::TxnResponse> EtcdClient::Commit(const etcd::TxnRequest& request) {
  etcd::TxnResponse response;
  HEARTH_RETURN_IF_ERROR(TryEach([&](Member& member, grpc::ClientContext& context) {
    response.Clear();
    return member.kv.Txn(&context, request, &response);
  }));
  return response;
}

absl::StatusOr<EtcdClient::Lease> EtcdClient::GrantLease(absl::Duration life) {
  etcd::LeaseGrantRequest request;
  request.set_ttl(absl::ToInt64Seconds(absl::Ceil(life, absl::Seconds(1))));
  etcd::LeaseGrantResponse response;
  HEARTH_RETURN_IF_ERROR(TryEach([&](Member& member, grpc::ClientContext& context) {
    response.Clear();
    return member.lease.LeaseGrant(&context, request, &response);
  }));
  return Lease{response.id(), absl::Seconds(response.ttl())};
}

absl::StatusOr<absl::Duration> EtcdClient::RenewLease(int64_t id) {
  etcd::LeaseKeepAliveRequest request;
  request.set_id(id);
  etcd::LeaseKeepAliveResponse response;
  HEARTH_RETURN_IF_ERROR(TryEach([&](Member& member, grpc::ClientContext& context) {
    const auto stream = member.lease.LeaseKeepAlive(&context);
    const bool answered = stream->Write(request) && stream->Read(&response);
    if (answered) context.TryCancel();
    const grpc::Status status = stream->Finish();
    if (answered) return grpc::Status::OK;
    return status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "no answer") : status;
  }));
  if (response.ttl() <= 0) return absl::NotFoundError("the lease has ended");
  return absl::Seconds(response.ttl());
}

absl::Status EtcdClient::RevokeLease(int64_t id) {
  etcd::LeaseRevokeRequest request;
  request.set_id(id);
  return TryEach([&](Member& member, grpc::ClientContext& context) {
    etcd::LeaseRevokeResponse response;
    return member.lease.LeaseRevoke(&context, request, &response);
  });
}

std::string EndOfPrefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');  // all keys there are
  ++prefix.back();
  return prefix;
}

}  // namespace hearth
