#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/requests/conversions.h"
#include "daemon/scheduling/scheduler_pool.h"
#include "daemon/serving/reactors.h"
#include "daemon/serving/services.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "proto/hearth/v1/models.grpc.pb.h"

namespace hearth {
namespace {

constexpr int kMostAdapters = 16;

// Without a name the only one; one that has never been ready and failed does not stand beside another.
absl::StatusOr<ModelInfo> FindModel(const ModelHost& host, const std::string& name) {
  std::vector<ModelInfo> models = host.List();
  if (name.empty()) {
    const auto works = std::partition(models.begin(), models.end(), [](const ModelInfo& model) {
      return model.state != ModelState::kFailed || model.plan_epoch > 0;
    });
    if (models.size() == 1 || works - models.begin() == 1) return std::move(models.front());
  }
  std::vector<std::string> names;
  for (ModelInfo& model : models) {
    if (model.name == name && !name.empty()) return std::move(model);
    names.push_back(model.name);
  }
  const std::string there = names.empty() ? "no model is loaded; load one with `hearth load PATH`"
                                          : absl::StrCat("there are: ", NameList(names));
  return absl::NotFoundError(
      name.empty() ? absl::StrCat("which model is meant? ", there)
                   : absl::StrCat("no model is called '", Printable(name, kMaxNameBytes), "'; ", there));
}

double MsBetween(Timeline::Clock::time_point begin, Timeline::Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

v1::TimelineEvent::Kind ToProto(Timeline::Kind kind) {
  switch (kind) {
    case Timeline::Kind::kComputed:
      return v1::TimelineEvent::KIND_COMPUTED;
    case Timeline::Kind::kAnswered:
      return v1::TimelineEvent::KIND_ANSWERED;
    case Timeline::Kind::kRead:
      return v1::TimelineEvent::KIND_READ;
    case Timeline::Kind::kAwaited:
      return v1::TimelineEvent::KIND_AWAITED;
  }
  return v1::TimelineEvent::KIND_UNSPECIFIED;
}

v1::StepTimeline ToProto(const Scheduler::RecordedStep& step) {
  v1::StepTimeline timeline;
  timeline.set_rows(step.rows);
  timeline.set_ms(MsBetween(step.begin, step.end));
  for (const Timeline::Event& event : step.events) {
    v1::TimelineEvent& shown = *timeline.add_events();
    shown.set_kind(ToProto(event.kind));
    shown.set_device(event.device);
    shown.set_what(event.what);
    shown.set_begin_ms(MsBetween(step.begin, event.begin));
    shown.set_end_ms(MsBetween(step.begin, event.end));
    shown.set_bytes(event.bytes);
  }
  return timeline;
}

using LoadStream = UpdateStream<v1::ModelStatus>;

// The progress of a model's loading, and its end.
LoadStream::Update LoadUpdate(const ModelHost& host, const std::string& name) {
  const absl::StatusOr<ModelInfo> model = FindModel(host, name);
  if (!model.ok() || model->state == ModelState::kUnloading) {
    const auto gone =
        absl::UnavailableError(absl::StrCat("the model '", name, "' was unloaded while it was loading"));
    return {std::nullopt, ToGrpcStatus(gone)};
  }
  LoadStream::Update update{ToProto(*model), std::nullopt};
  if (model->state == ModelState::kReady) update.end = grpc::Status::OK;
  if (model->state == ModelState::kFailed) {
    update.end = ToGrpcStatus(model->error.ok() ? absl::InternalError(model->detail) : model->error);
  }
  return update;
}

class ModelsService final : public v1::Models::CallbackService {
 public:
  ModelsService(ModelHost& host, const SchedulerPool& schedulers, const ModelsOnDemand& on_demand,
                ChangeNotifier& notifier)
      : host_(host), schedulers_(schedulers), on_demand_(on_demand), notifier_(notifier) {}

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context, const v1::ListModelsRequest*,
                                 v1::ListModelsResponse* response) override {
    return Answer(context, [&] {
      for (const ModelInfo& model : host_.List()) *response->add_models() = StatusOf(model);
      for (std::string& name : on_demand_.Available()) response->add_available(std::move(name));
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const v1::GetModelRequest* request,
                                v1::ModelStatus* response) override {
    return Answer(context, [&]() -> absl::Status {
      HEARTH_ASSIGN_OR_RETURN(const ModelInfo model, FindModel(host_, request->name()));
      *response = StatusOf(model);
      return absl::OkStatus();
    });
  }

  grpc::ServerWriteReactor<v1::ModelStatus>* Load(grpc::CallbackServerContext*,
                                                  const v1::LoadModelRequest* request) override {
    if (request->path().empty()) {
      return new RejectedStream<v1::ModelStatus>(ToGrpcStatus(absl::InvalidArgumentError(
          "the request has no path; give the path of a GGUF file on the coordinator's host")));
    }
    absl::StatusOr<std::string> name = Begin(*request);
    if (!name.ok()) return new RejectedStream<v1::ModelStatus>(ToGrpcStatus(name.status()));
    return LoadStream::Start(notifier_,
                             [&host = host_, name = *std::move(name)] { return LoadUpdate(host, name); });
  }

  grpc::ServerUnaryReactor* GetTimeline(grpc::CallbackServerContext* context,
                                        const v1::GetTimelineRequest* request,
                                        v1::StepTimeline* response) override {
    return Answer(context, [&]() -> absl::Status {
      HEARTH_ASSIGN_OR_RETURN(const ModelInfo model, FindModel(host_, request->model()));
      for (const std::shared_ptr<Scheduler>& scheduler : schedulers_.All()) {
        if (scheduler->model().name() != model.name) continue;
        const std::optional<Scheduler::RecordedStep> step = scheduler->recorded_step();
        if (!step) break;
        *response = ToProto(*step);
        response->set_model(model.name);
        response->set_epoch(model.plan_epoch);
        return absl::OkStatus();
      }
      return absl::NotFoundError(absl::StrCat("no step of the model '", model.name,
                                              "' was recorded yet: generate some tokens first (one step of "
                                              "sixteen is recorded)"));
    });
  }

  grpc::ServerUnaryReactor* Unload(grpc::CallbackServerContext* context,
                                   const v1::UnloadModelRequest* request, v1::UnloadModelResponse*) override {
    return Answer(context, [&]() -> absl::Status {
      if (request->name().empty())
        return absl::InvalidArgumentError("the request has no name; say which model");
      HEARTH_RETURN_IF_ERROR(FindModel(host_, request->name()).status());
      return host_.Unload(request->name());
    });
  }

 private:
  absl::StatusOr<std::string> Begin(const v1::LoadModelRequest& request) {
    ModelSource source{.name = request.name(), .path = request.path(), .draft = request.draft()};
    if (!request.objective().empty()) {
      const absl::StatusOr<placement::Objective> objective = placement::ParseObjective(request.objective());
      if (!objective.ok())
        return absl::InvalidArgumentError(absl::StrCat("objective: ", objective.status().message()));
      source.objective = *objective;
    }
    if (request.adapters_size() > kMostAdapters) {
      return absl::InvalidArgumentError(absl::StrCat("the request has ", request.adapters_size(),
                                                     " adapters; at most ", kMostAdapters, " are taken"));
    }
    for (const std::string& text : request.adapters()) {
      HEARTH_ASSIGN_OR_RETURN(source.adapters.emplace_back(), ParseAdapterSource(text));
    }
    return host_.Load(source);
  }

  // What is known of the model, and of its requests.
  v1::ModelStatus StatusOf(const ModelInfo& model) const {
    v1::ModelStatus status = ToProto(model);
    for (const std::shared_ptr<Scheduler>& scheduler : schedulers_.All()) {
      if (scheduler->model().name() != model.name) continue;
      const Scheduler::Usage usage = scheduler->usage();
      status.set_requests_running(static_cast<uint32_t>(usage.running));
      status.set_requests_waiting(static_cast<uint32_t>(usage.waiting));
      status.set_tokens_generated(usage.generated_tokens);
      status.set_kv_positions(usage.kv_positions);
      status.set_kv_positions_limit(usage.kv_positions_limit);
    }
    return status;
  }

  ModelHost& host_;
  const SchedulerPool& schedulers_;
  const ModelsOnDemand& on_demand_;
  ChangeNotifier& notifier_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeModelsService(ModelHost& models, const SchedulerPool& schedulers,
                                                 const ModelsOnDemand& on_demand, ChangeNotifier& notifier) {
  return std::make_unique<ModelsService>(models, schedulers, on_demand, notifier);
}

}  // namespace hearth
