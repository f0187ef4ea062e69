#include "daemon/cluster/node.h"

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "daemon/capacity/capacity.h"
#include "daemon/cluster/coordinator.h"
#include "daemon/membership/host_identity.h"
#include "daemon/membership/membership_service.h"
#include "daemon/membership/pauses.h"
#include "daemon/membership/worker.h"
#include "daemon/weights/weights_service.h"
#include "engine/base/printable.h"
#include "engine/base/process_limits.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

class CoordinatorNode : public Node {
 public:
  CoordinatorNode(const NodeOptions& options, HostIdentity identity, std::vector<HostDeviceSpec> devices,
                  HostCapacity capacity, Pauses pauses)
      : coordinator_(options, std::move(identity), std::move(devices), std::move(capacity),
                     std::move(pauses)),
        membership_(MakeMembershipService(coordinator_.roster())),
        weights_(MakeWeightsService(
            [this](const SessionToken& token) { return coordinator_.roster().KnowsToken(token); },
            [this](const std::string& model_digest, const Sha256Digest& sha256) {
              return coordinator_.FindBundle(model_digest, sha256);
            },
            [this] { return coordinator_.Files(); })) {}

  void RegisterServices(grpc::ServerBuilder& builder) override {
    builder.RegisterService(membership_.get());
    builder.RegisterService(weights_.get());
  }
  absl::Status AwaitAccepted() override { return absl::OkStatus(); }
  absl::Status Refusal() const override { return absl::OkStatus(); }
  void Start() override { coordinator_.Start(); }
  void Stop() override { coordinator_.Stop(); }
  void Forget(const HostId& id) override { coordinator_.Forget(id); }
  ModelHost* model_host() override { return &coordinator_; }
  HostControl* host_control() override { return &coordinator_; }
  ClusterView& cluster_view() override { return coordinator_.view(); }

 private:
  Coordinator coordinator_;
  const std::unique_ptr<grpc::Service> membership_;
  const std::unique_ptr<grpc::Service> weights_;
};

class WorkerNode : public Node {
 public:
  explicit WorkerNode(std::unique_ptr<Worker> worker) : worker_(std::move(worker)) {}

  void RegisterServices(grpc::ServerBuilder& builder) override {}
  void Start() override { worker_->Start(); }
  absl::Status AwaitAccepted() override { return worker_->AwaitAccepted(); }
  absl::Status Refusal() const override { return worker_->Refusal(); }
  void Stop() override { worker_->Stop(); }
  void Forget(const HostId&) override {}
  ModelHost* model_host() override { return nullptr; }
  HostControl* host_control() override { return nullptr; }
  ClusterView& cluster_view() override { return *worker_; }

 private:
  const std::unique_ptr<Worker> worker_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> Node::Create(const NodeOptions& options) {
  HEARTH_RETURN_IF_ERROR(CheckName("--name", options.name));
  HEARTH_ASSIGN_OR_RETURN(HostIdentity identity, ReadHostIdentity(options.state_dir));
  HEARTH_ASSIGN_OR_RETURN(std::vector<HostDeviceSpec> devices,
                          ChooseDevices(options.devices, options.threads));
  spdlog::info("this process may use {}", ReadProcessLimits().text);
  HostCapacity capacity = MeasureHost(devices, options.devices);
  if (options.join.empty()) {
    HEARTH_ASSIGN_OR_RETURN(Pauses pauses, Pauses::Open(options.state_dir));
    return std::make_unique<CoordinatorNode>(options, std::move(identity), std::move(devices),
                                             std::move(capacity), std::move(pauses));
  }
  HEARTH_ASSIGN_OR_RETURN(
      std::unique_ptr<Worker> worker,
      Worker::Create(options, std::move(identity), std::move(devices), std::move(capacity)));
  return std::make_unique<WorkerNode>(std::move(worker));
}

}  // namespace hearth
