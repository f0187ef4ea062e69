#include "daemon/cluster/node.h"

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "daemon/capacity/capacity.h"
#include "daemon/cluster/coordinator.h"
#include "daemon/membership/membership_service.h"
#include "daemon/membership/worker.h"
#include "engine/base/process_limits.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

class CoordinatorNode : public Node {
 public:
  CoordinatorNode(const NodeOptions& options, std::vector<HostDeviceSpec> devices, HostCapacity capacity)
      : coordinator_(options, std::move(devices), std::move(capacity)),
        service_(MakeMembershipService(coordinator_.roster(),
                                       [this](const std::string& model_digest, const Sha256Digest& sha256) {
                                         return coordinator_.FindBundle(model_digest, sha256);
                                       })) {}

  void RegisterServices(grpc::ServerBuilder& builder) override { builder.RegisterService(service_.get()); }
  void Start() override { coordinator_.Start(); }
  void Stop() override { coordinator_.Stop(); }
  ModelHost* model_host() override { return &coordinator_; }
  ClusterView& cluster_view() override { return coordinator_.view(); }

 private:
  Coordinator coordinator_;
  const std::unique_ptr<grpc::Service> service_;
};

class WorkerNode : public Node {
 public:
  explicit WorkerNode(std::unique_ptr<Worker> worker) : worker_(std::move(worker)) {}

  void RegisterServices(grpc::ServerBuilder& builder) override {}
  void Start() override { worker_->Start(); }
  void Stop() override { worker_->Stop(); }
  ModelHost* model_host() override { return nullptr; }
  ClusterView& cluster_view() override { return *worker_; }

 private:
  const std::unique_ptr<Worker> worker_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> Node::Create(const NodeOptions& options) {
  if (options.name.empty()) return absl::InvalidArgumentError("a host needs a name: set --name");
  HEARTH_ASSIGN_OR_RETURN(std::vector<HostDeviceSpec> devices,
                          ChooseDevices(options.devices, options.threads));
  spdlog::info("this process may use {}", ReadProcessLimits().text);
  HostCapacity capacity = MeasureHost(devices, options.devices);
  if (options.join.empty()) {
    return std::make_unique<CoordinatorNode>(options, std::move(devices), std::move(capacity));
  }
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<Worker> worker,
                          Worker::Create(options, std::move(devices), std::move(capacity)));
  return std::make_unique<WorkerNode>(std::move(worker));
}

}  // namespace hearth
