#include "daemon/serving/encrypted_port.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/server_interceptor.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/channel/log_limiter.h"
#include "daemon/grpc_status.h"
#include "daemon/peer_certificate.h"
#include "daemon/serving/limited_port.h"
#include "engine/base/check.h"
#include "engine/base/mutex.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "proto/channel.h"
#include "proto/peer_check.h"

namespace hearth {
namespace {

constexpr int kHandshakeMs = 2000;
constexpr std::chrono::seconds kRefusalsApart{5};

// Who may call what begins so; the first that fits counts.
struct Rule {
  const char* prefix;
  bool host, client, admin;
};
constexpr Rule kRules[] = {
    {"/hearth.v1.Membership/", true, false, false},
    {"/hearth.v1.Weights/", true, false, false},
    {"/hearth.v1.Home/RenewCertificate", true, false, false},
    {"/hearth.v1.Home/", false, false, true},
    {"/hearth.v1.Standby/Promote", false, false, false},
    {"/hearth.v1.Standby/", true, false, false},
    {"/hearth.v1.Models/Load", false, false, true},
    {"/hearth.v1.Models/Unload", false, false, true},
    {"/hearth.v1.Models/", true, true, true},
    {"/hearth.v1.Generation/", true, true, true},
    {"/hearth.v1.Cluster/Pause", true, false, true},
    {"/hearth.v1.Cluster/Resume", true, false, true},
    {"/hearth.v1.Cluster/Wake", false, false, true},
    {"/hearth.v1.Cluster/", true, true, true},
    {"/grpc.health.v1.Health/", true, true, true},
    {"/grpc.reflection.v1alpha.ServerReflection/", true, true, true},
};

// Looks at each call before its service does.
class Doorkeeper final : public grpc::AuthMetadataProcessor {
 public:
  explicit Doorkeeper(const Home& home) : home_(home) {}

  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    const auto path = metadata.find(":path");
    const std::string method =
        path == metadata.end() ? "" : std::string(path->second.data(), path->second.size());
    const absl::Status status = Check(PeerCertificate(*context), method);
    if (status.ok()) return grpc::Status::OK;
    if (const auto left_out = limiter_.Allow()) {
      spdlog::warn("refused {}: {} ({} similar lines left out)", Printable(method),
                   Printable(status.message()), *left_out);
    }
    return ToGrpcStatus(status);
  }

 private:
  absl::Status Check(const std::string& certificate, const std::string& method) const {
    HEARTH_ASSIGN_OR_RETURN(const Member member, home_.Recognise(certificate));
    if (MayCall(member.role, method)) return absl::OkStatus();
    return absl::PermissionDeniedError(
        absl::StrCat(member.name, " has the role ", std::string(RoleName(member.role)), " and may not call ",
                     method, ": run the command on the coordinator's machine, or with an admin's --key"));
  }

  const Home& home_;
  LogLimiter limiter_{kRefusalsApart};
};

// The calls that are under way, by who calls. Thread-safe.
class LiveCalls {
 public:
  explicit LiveCalls(const Home& home) : home_(home) {}

  void Add(grpc::ServerContextBase* call) {
    const std::string pem = PeerCertificate(*call->auth_context());
    {
      MutexLock lock(&mutex_);
      calls_[call] = PeerId(*call->auth_context()).value_or(HostId());
    }
    if (!home_.Recognise(pem).ok()) call->TryCancel();  // removed since the doorkeeper looked
  }
  void Remove(grpc::ServerContextBase* call) {
    MutexLock lock(&mutex_);
    calls_.erase(call);
  }
  void End(const HostId& id) {
    MutexLock lock(&mutex_);
    for (const auto& [call, caller] : calls_) {
      if (caller == id) call->TryCancel();
    }
  }

 private:
  const Home& home_;
  Mutex mutex_;
  std::map<grpc::ServerContextBase*, HostId> calls_ ABSL_GUARDED_BY(mutex_);
};

// Lives as long as its call, and keeps it in the list.
class CallWatcher final : public grpc::experimental::Interceptor {
 public:
  CallWatcher(LiveCalls& calls, grpc::ServerContextBase* call) : calls_(calls), call_(call) {
    calls_.Add(call_);
  }
  ~CallWatcher() override { calls_.Remove(call_); }
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override { methods->Proceed(); }

 private:
  LiveCalls& calls_;
  grpc::ServerContextBase* const call_;
};

class CallWatchers final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CallWatchers(LiveCalls& calls, LimitedPort& port) : calls_(calls), port_(port) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
    port_.Welcome(info->server_context()->peer());
    return new CallWatcher(calls_, info->server_context());
  }

 private:
  LiveCalls& calls_;
  LimitedPort& port_;
};

// Whose certificate is of this home gets through the handshake, and is told in words where its time or its
// owner's place in the home is over.
absl::Status CheckOurs(const std::string& certificate_pem, const std::string& authority_pem) {
  HEARTH_ASSIGN_OR_RETURN(const Certificate certificate, ParseCertificate(certificate_pem));
  return CheckIssued(certificate, authority_pem);
}

// gRPC looks at the files again and again, and shows what they have from then on.
std::shared_ptr<grpc::ServerCredentials> CredentialsOf(const Home& home, absl::Duration look_again) {
  namespace tls = grpc::experimental;
  tls::TlsServerCredentialsOptions options(std::make_shared<tls::FileWatcherCertificateProvider>(
      home.key_path(), home.certificate_path(),
      static_cast<unsigned>(std::max<int64_t>(absl::ToInt64Seconds(look_again), 1))));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  options.set_certificate_verifier(
      MakeVerifier([authority = home.key().authority_pem](const std::string& certificate_pem) {
        return CheckOurs(certificate_pem, authority);
      }));
  std::shared_ptr<grpc::ServerCredentials> credentials = tls::TlsServerCredentials(options);
  credentials->SetAuthMetadataProcessor(std::make_shared<Doorkeeper>(home));
  return credentials;
}

class EncryptedPortImpl final : public EncryptedPort {
 public:
  explicit EncryptedPortImpl(const Home& home) : home_(home), calls_(home) {}
  ~EncryptedPortImpl() override { Shutdown(absl::ZeroDuration()); }

  absl::Status Start(const std::string& listen,
                     const std::function<void(grpc::ServerBuilder&)>& register_services,
                     absl::Duration look_again) {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
    KeepConnectionsAlive(builder);
    HEARTH_ASSIGN_OR_RETURN(
        port_,
        LimitedPort::Open({.listen = listen, .advice = "choose another address with hearthd --lan HOST:PORT"},
                          TakeFor(builder, CredentialsOf(home_, look_again))));
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> watchers;
    watchers.push_back(std::make_unique<CallWatchers>(calls_, *port_));
    builder.experimental().SetInterceptorCreators(std::move(watchers));
    register_services(builder);
    server_ = builder.BuildAndStart();
    HEARTH_CHECK(server_ != nullptr);  // it has no address that it could lack
    port_->Start();
    return absl::OkStatus();
  }

  const std::string& address() const override { return port_->address(); }
  grpc::HealthCheckServiceInterface& health() override { return *server_->GetHealthCheckService(); }
  void EndCallsOf(const HostId& id) override { calls_.End(id); }
  void Shutdown(absl::Duration grace) override {
    if (port_ != nullptr) port_->Close();
    if (server_ != nullptr) server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  }

 private:
  const Home& home_;
  // These outlive the server.
  LiveCalls calls_;
  std::unique_ptr<LimitedPort> port_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

bool MayCall(Role role, absl::string_view method) {
  for (const Rule& rule : kRules) {
    if (!absl::StartsWith(method, rule.prefix)) continue;
    return role == Role::kHost     ? rule.host
           : role == Role::kClient ? rule.client
           : role == Role::kAdmin  ? rule.admin
                                   : false;
  }
  return false;
}

absl::StatusOr<std::unique_ptr<EncryptedPort>> EncryptedPort::Open(
    const std::string& listen, const Home& home,
    const std::function<void(grpc::ServerBuilder&)>& register_services, absl::Duration look_again) {
  auto port = std::make_unique<EncryptedPortImpl>(home);
  HEARTH_RETURN_IF_ERROR(port->Start(listen, register_services, look_again));
  return port;
}

}  // namespace hearth
