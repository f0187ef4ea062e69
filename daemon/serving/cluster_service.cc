#include <grpcpp/grpcpp.h>

#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "daemon/peer_certificate.h"
#include "daemon/requests/conversions.h"
#include "daemon/serving/forwarding.h"
#include "daemon/serving/reactors.h"
#include "daemon/serving/services.h"
#include "engine/base/status_macros.h"
#include "engine/base/task_queue.h"
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

constexpr int kMostExpecting = 16;
constexpr uint32_t kLongestPauseSeconds = 366 * 24 * 3600;

absl::Status NobodyListens() { return absl::UnimplementedError("hosts cannot be paused or woken here"); }

// The host that is named; else the worker that has passed the call on, which a certificate tells by itself.
std::string HostMeant(const std::string& name, const grpc::CallbackServerContext& context,
                      const std::optional<HostId>& caller) {
  if (!name.empty() || caller) return name;
  const auto worker = context.client_metadata().find(kForwardedBy);
  if (worker == context.client_metadata().end()) return "";
  return std::string(worker->second.data(), worker->second.size());
}

class ClusterService final : public v1::Cluster::CallbackService {
 public:
  ClusterService(const ClusterView& cluster, HostControl* control, ChangeNotifier& notifier)
      : cluster_(cluster), control_(control), notifier_(notifier) {}

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

  grpc::ServerUnaryReactor* Expect(grpc::CallbackServerContext* context, const v1::ModelFigures* request,
                                   v1::ExpectedPlan* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    if (expecting_.fetch_add(1) >= kMostExpecting) {
      --expecting_;
      reactor->Finish(ToGrpcStatus(absl::UnavailableError("too many ask for plans; try again in a moment")));
      return reactor;
    }
    // Request and response are there until it is finished.
    expectations_.Add([this, reactor, request, response] {
      const absl::StatusOr<ExpectedPlan> plan = cluster_.Expect(FromProto(*request));
      --expecting_;
      if (plan.ok()) *response = ToProto(*plan);
      reactor->Finish(ToGrpcStatus(plan.status()));
    });
    return reactor;
  }

  // Writes a small file.
  grpc::ServerUnaryReactor* Pause(grpc::CallbackServerContext* context, const v1::PauseRequest* request,
                                  v1::PauseResponse*) override {
    return Answer(context, [&]() -> absl::Status {
      if (request->seconds() > kLongestPauseSeconds) {
        return absl::InvalidArgumentError(
            absl::StrCat("seconds: at most ", kLongestPauseSeconds, ", a year"));
      }
      const absl::Time until =
          request->seconds() == 0 ? absl::InfiniteFuture() : absl::Now() + absl::Seconds(request->seconds());
      if (control_ == nullptr) return NobodyListens();
      const std::optional<HostId> caller = PeerId(*context->auth_context());
      return control_->Pause(HostMeant(request->host(), *context, caller), until, caller);
    });
  }

  grpc::ServerUnaryReactor* Resume(grpc::CallbackServerContext* context, const v1::ResumeHostRequest* request,
                                   v1::ResumeHostResponse*) override {
    return Answer(context, [&]() -> absl::Status {
      if (control_ == nullptr) return NobodyListens();
      const std::optional<HostId> caller = PeerId(*context->auth_context());
      return control_->Resume(HostMeant(request->host(), *context, caller), caller);
    });
  }

  grpc::ServerUnaryReactor* Wake(grpc::CallbackServerContext* context, const v1::WakeRequest* request,
                                 v1::WakeResponse* response) override {
    return Answer(context, [&]() -> absl::Status {
      if (control_ == nullptr) return NobodyListens();
      HEARTH_ASSIGN_OR_RETURN(const WokenHosts woken, control_->Wake(request->host()));
      *response = ToProto(woken);
      return absl::OkStatus();
    });
  }

 private:
  const ClusterView& cluster_;
  HostControl* control_;
  ChangeNotifier& notifier_;
  std::atomic<int> expecting_ = 0;  // calls in `expectations_`
  TaskQueue expectations_{1};       // plans take long
};

}  // namespace

std::unique_ptr<grpc::Service> MakeClusterService(const ClusterView& cluster, HostControl* control,
                                                  ChangeNotifier& notifier) {
  return std::make_unique<ClusterService>(cluster, control, notifier);
}

}  // namespace hearth
