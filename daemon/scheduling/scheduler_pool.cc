#include "daemon/scheduling/scheduler_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// A model that was loaded anew under the same name is another ServedModel, so both have to fit.
bool StillLoaded(const ModelHost& host, const ServedModel& model) {
  const auto found = host.Find(model.name());
  return found.ok() && found->get() == &model;
}

}  // namespace

absl::StatusOr<std::shared_ptr<Scheduler>> SchedulerPool::Find(const std::string& name) {
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<ServedModel> model, host_.Find(name));
  MutexLock lock(&mutex_);
  HEARTH_RETURN_IF_ERROR(stopped_);
  for (const auto& scheduler : schedulers_) {
    if (scheduler->shared_model() == model) return scheduler;
  }
  schedulers_.push_back(std::make_shared<Scheduler>(std::move(model), options_));
  return schedulers_.back();
}

std::vector<std::shared_ptr<Scheduler>> SchedulerPool::All() const {
  MutexLock lock(&mutex_);
  return schedulers_;
}

void SchedulerPool::OnChange() {
  std::vector<std::shared_ptr<Scheduler>> gone;
  {
    MutexLock lock(&mutex_);
    const auto first_gone =
        std::stable_partition(schedulers_.begin(), schedulers_.end(),
                              [&](const auto& scheduler) { return StillLoaded(host_, scheduler->model()); });
    gone.assign(first_gone, schedulers_.end());
    schedulers_.erase(first_gone, schedulers_.end());
    for (const auto& scheduler : schedulers_) scheduler->Wake();
  }
  for (const auto& scheduler : gone) {
    scheduler->Stop(absl::UnavailableError(absl::StrCat(
        "the model '", scheduler->model().name(), "' was unloaded; choose another one or load it again")));
  }
}

void SchedulerPool::StopAll(const absl::Status& reason) {
  std::vector<std::shared_ptr<Scheduler>> all;
  {
    MutexLock lock(&mutex_);
    stopped_ = reason;
    all.swap(schedulers_);
  }
  for (const auto& scheduler : all) scheduler->Stop(reason);
}

}  // namespace hearth
