#include "daemon/serving/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/scheduling/change_notifier.h"
#include "daemon/scheduling/scheduler_pool.h"
#include "daemon/serving/encrypted_port.h"
#include "daemon/serving/forwarding.h"
#include "daemon/serving/generate_stream.h"
#include "daemon/serving/limited_port.h"
#include "daemon/serving/services.h"
#include "daemon/serving/status_metrics.h"
#include "daemon/state/kept_requests.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"
#include "proto/channel.h"

namespace hearth {
namespace {

constexpr absl::Duration kChangeInterval = absl::Milliseconds(200);
constexpr absl::Duration kHeartbeat = absl::Seconds(1);
constexpr char kOtherAddress[] = "stop the other daemon or choose another --listen";
// For each address: nobody shows there who he is, and programs may connect anew for each call.
constexpr StrangerRate::Options kPlainConnections{.per_second = 16, .burst = 64};

// Health as load balancers and people ask for it: the daemon as a whole ("") and hearth.v1.Generation serve
// when a model is there to answer; models and cluster can be asked about at any time.
class HealthUpdater : public ChangeListener {
 public:
  HealthUpdater(const ModelHost& models, grpc::HealthCheckServiceInterface& health)
      : models_(models), health_(health) {}

  void OnChange() override {
    const std::vector<ModelInfo> models = models_.List();
    const bool ready = std::any_of(models.begin(), models.end(),
                                   [](const ModelInfo& model) { return model.state == ModelState::kReady; });
    health_.SetServingStatus("", ready);
    health_.SetServingStatus("hearth.v1.Generation", ready);
    health_.SetServingStatus("hearth.v1.Models", true);
    health_.SetServingStatus("hearth.v1.Cluster", true);
  }

 private:
  const ModelHost& models_;
  grpc::HealthCheckServiceInterface& health_;
};

// The gRPC server itself: what a coordinator's and a worker's have in common.
class Listener {
 public:
  absl::Status Start(const ServerOptions& options, grpc::ServerBuilder& builder) {
    int port = 0;
    // Without this two daemons could share a port, and each would get some of the calls.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    KeepConnectionsAlive(builder);
    if (options.limits_callers) {
      HEARTH_ASSIGN_OR_RETURN(limited_,
                              LimitedPort::Open({.listen = options.listen,
                                                 .advice = kOtherAddress,
                                                 .connections = kPlainConnections,
                                                 .spares_loopback = true},
                                                TakeFor(builder, grpc::InsecureServerCredentials())));
    } else {
      builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
    }
    if (options.register_services) options.register_services(builder);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", options.listen,
                                                 ": the address is in use or not one of this host; ",
                                                 kOtherAddress));
    }
    address_ = limited_ != nullptr
                   ? limited_->address()
                   : absl::StrCat(options.listen.substr(0, options.listen.rfind(':')), ":", port);
    if (limited_ != nullptr) limited_->Start();
    return absl::OkStatus();
  }

  void Shutdown(absl::Duration grace) {
    if (limited_ != nullptr) limited_->Close();
    if (server_ != nullptr) server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  }

  grpc::HealthCheckServiceInterface& health() { return *server_->GetHealthCheckService(); }
  std::shared_ptr<grpc::Channel> InProcessChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxResponseBytes);
    return server_->InProcessChannel(arguments);
  }
  const std::string& address() const { return address_; }

 private:
  std::unique_ptr<LimitedPort> limited_;  // null: gRPC's own
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

class CoordinatorServer final : public Server {
 public:
  CoordinatorServer(const ServerOptions& options, ModelHost& models, ClusterView& cluster)
      : models_(models),
        cluster_(cluster),
        notifier_(kChangeInterval, kHeartbeat),
        requests_(options.scheduler.metrics),
        kept_requests_(options.state, options.kept),
        schedulers_(std::make_shared<SchedulerPool>(models, options.scheduler)),
        on_demand_(std::make_shared<ModelsOnDemand>(*schedulers_, options.on_demand)),
        services_{MakeGenerationService(*schedulers_, *on_demand_, kept_requests_, options.leads),
                  MakeModelsService(models, *schedulers_, *on_demand_, notifier_),
                  MakeClusterService(cluster, options.control, notifier_)} {}

  ~CoordinatorServer() override {
    models_.SetListener(nullptr);
    cluster_.SetListener(nullptr);
    notifier_.Stop();
    Shutdown(absl::ZeroDuration());
  }

  absl::Status Listen(const ServerOptions& options) {
    grpc::ServerBuilder builder;
    for (const auto& service : services_) builder.RegisterService(service.get());
    register_services_ = options.register_services;
    if (absl::Status status = listener_.Start(options, builder); !status.ok()) return status;
    health_ = std::make_shared<HealthUpdater>(models_, listener_.health());
    health_->OnChange();
    notifier_.Add(schedulers_);
    notifier_.Add(on_demand_);
    notifier_.Add(health_);
    models_.SetListener([this] { notifier_.Notify(); });
    cluster_.SetListener([this] { notifier_.Notify(); });
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> OpenEncryptedPort(const std::string& listen, const Home& home) override {
    absl::StatusOr<std::unique_ptr<EncryptedPort>> port =
        EncryptedPort::Open(listen, home, [this](grpc::ServerBuilder& builder) {
          for (const auto& service : services_) builder.RegisterService(service.get());
          if (register_services_) register_services_(builder);
        });
    if (!port.ok()) return port.status();
    MutexLock lock(&mutex_);
    encrypted_ = *std::move(port);
    encrypted_health_ = std::make_shared<HealthUpdater>(models_, encrypted_->health());
    encrypted_health_->OnChange();
    notifier_.Add(encrypted_health_);
    return encrypted_->address();
  }

  void EndCallsOf(const HostId& id) override {
    MutexLock lock(&mutex_);
    if (encrypted_ != nullptr) encrypted_->EndCallsOf(id);
  }

  const std::string& address() const override { return listener_.address(); }
  std::shared_ptr<grpc::Channel> InProcessChannel() override { return listener_.InProcessChannel(); }
  std::vector<std::shared_ptr<prometheus::Collectable>> Metrics() override {
    return {requests_->registry(), MakeSchedulerMetrics(schedulers_), MakeClusterMetrics(cluster_)};
  }

  void EndGenerations() override {
    const absl::Status reason =
        ComesBack(absl::UnavailableError("the daemon is stopping; send the request again once it is back"));
    on_demand_->Stop(reason);
    schedulers_->StopAll(reason);
  }

  void Shutdown(absl::Duration grace) override {
    EndGenerations();
    listener_.Shutdown(grace);
    // Once there it stays; a call that removes a member wants the lock before it ends.
    EncryptedPort* encrypted = nullptr;
    {
      MutexLock lock(&mutex_);
      encrypted = encrypted_.get();
    }
    if (encrypted != nullptr) encrypted->Shutdown(grace);
  }

 private:
  ModelHost& models_;
  ClusterView& cluster_;
  ChangeNotifier notifier_;
  const std::shared_ptr<GenerationMetrics> requests_;
  KeptRequests kept_requests_;
  std::shared_ptr<SchedulerPool> schedulers_;
  const std::shared_ptr<ModelsOnDemand> on_demand_;
  const std::array<std::unique_ptr<grpc::Service>, 3> services_;
  Listener listener_;
  std::shared_ptr<HealthUpdater> health_;
  std::function<void(grpc::ServerBuilder&)> register_services_;
  Mutex mutex_;
  std::unique_ptr<EncryptedPort> encrypted_ ABSL_GUARDED_BY(mutex_);  // null: closed
  std::shared_ptr<HealthUpdater> encrypted_health_ ABSL_GUARDED_BY(mutex_);
};

class WorkerServer final : public Server {
 public:
  WorkerServer(const ServerOptions& options, const CoordinatorAddresses& coordinator, const LiveKey& key)
      : forwarder_(MakeForwarder(options.host, coordinator, key, options.may_lead)) {}
  ~WorkerServer() override { Shutdown(absl::ZeroDuration()); }

  absl::Status Listen(const ServerOptions& options) {
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(forwarder_.get());
    return listener_.Start(options, builder);
  }

  absl::StatusOr<std::string> OpenEncryptedPort(const std::string&, const Home&) override {
    return absl::FailedPreconditionError("a worker has no home of its own");
  }
  void EndCallsOf(const HostId&) override {}
  const std::string& address() const override { return listener_.address(); }
  std::shared_ptr<grpc::Channel> InProcessChannel() override { return listener_.InProcessChannel(); }
  std::vector<std::shared_ptr<prometheus::Collectable>> Metrics() override { return {}; }
  void EndGenerations() override {}  // they are the coordinator's
  void Shutdown(absl::Duration grace) override { listener_.Shutdown(grace); }

 private:
  std::unique_ptr<grpc::CallbackGenericService> forwarder_;
  Listener listener_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, ModelHost& models,
                                                      ClusterView& cluster) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto server = std::make_unique<CoordinatorServer>(options, models, cluster);
  if (absl::Status status = server->Listen(options); !status.ok()) return status;
  return server;
}

absl::StatusOr<std::unique_ptr<Server>> Server::StartForwarding(const ServerOptions& options,
                                                                const CoordinatorAddresses& coordinator,
                                                                const LiveKey& key) {
  grpc::EnableDefaultHealthCheckService(false);  // the coordinator's health is what clients ask about
  auto server = std::make_unique<WorkerServer>(options, coordinator, key);
  if (absl::Status status = server->Listen(options); !status.ok()) return status;
  return server;
}

}  // namespace hearth
