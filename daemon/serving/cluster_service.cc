#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/serving/conversions.h"
#include "daemon/serving/reactors.h"
#include "daemon/serving/services.h"
#include "engine/base/status_macros.h"
#include "proto/hearth/v1/cluster.grpc.pb.h"

namespace hearth {
namespace {

absl::StatusOr<PlanView> FindPlan(ClusterSnapshot cluster, const std::string& model) {
  if (model.empty() && cluster.plans.size() == 1) return std::move(cluster.plans.front());
  std::vector<std::string> names;
  for (PlanView& plan : cluster.plans) {
    if (plan.model == model && !model.empty()) return std::move(plan);
    names.push_back(plan.model);
  }
  if (names.empty()) {
    return absl::UnavailableError(
        "there is no plan yet: no model is loaded, or the first one is still loading");
  }
  return absl::NotFoundError(absl::StrCat(model.empty()
                                              ? "which model's plan is meant?"
                                              : absl::StrCat("there is no plan of a model '", model, "';"),
                                          " there are plans of: ", absl::StrJoin(names, ", ")));
}

class ClusterService final : public v1::Cluster::CallbackService {
 public:
  ClusterService(const ClusterView& cluster, ChangeNotifier& notifier)
      : cluster_(cluster), notifier_(notifier) {}

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const v1::GetClusterRequest*,
                                v1::ClusterStatus* response) override {
    return Answer(context, [&] {
      *response = ToProto(cluster_.Snapshot());
      return absl::OkStatus();
    });
  }

  grpc::ServerWriteReactor<v1::ClusterStatus>* Watch(grpc::CallbackServerContext*,
                                                     const v1::WatchClusterRequest*) override {
    using Stream = UpdateStream<v1::ClusterStatus>;
    return Stream::Start(notifier_, [&cluster = cluster_] {
      return Stream::Update{ToProto(cluster.Snapshot()), std::nullopt};
    });
  }

  grpc::ServerUnaryReactor* Plan(grpc::CallbackServerContext* context, const v1::PlanRequest* request,
                                 v1::PlanStatus* response) override {
    return Answer(context, [&]() -> absl::Status {
      HEARTH_ASSIGN_OR_RETURN(const PlanView plan, FindPlan(cluster_.Snapshot(), request->model()));
      *response = ToProto(plan);
      return absl::OkStatus();
    });
  }

 private:
  const ClusterView& cluster_;
  ChangeNotifier& notifier_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeClusterService(const ClusterView& cluster, ChangeNotifier& notifier) {
  return std::make_unique<ClusterService>(cluster, notifier);
}

}  // namespace hearth
