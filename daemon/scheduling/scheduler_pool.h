#ifndef HEARTH_DAEMON_SCHEDULING_SCHEDULER_POOL_H_
#define HEARTH_DAEMON_SCHEDULING_SCHEDULER_POOL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/model_host.h"
#include "daemon/scheduling/change_notifier.h"
#include "daemon/scheduling/scheduler.h"
#include "engine/base/mutex.h"

namespace hearth {

// The schedulers of the loaded models: made at a model's first request, stopped when the model is gone.
// Thread-safe.
class SchedulerPool : public ChangeListener {
 public:
  // `host` outlives this.
  SchedulerPool(ModelHost& host, SchedulerOptions options) : host_(host), options_(options) {}

  // The scheduler of the model called `name`. Errors as ModelHost::Find; UNAVAILABLE after StopAll.
  absl::StatusOr<std::shared_ptr<Scheduler>> Find(const std::string& name);
  // Those that there are now.
  std::vector<std::shared_ptr<Scheduler>> All() const;
  // Stops the schedulers of models that were unloaded; their requests fail with UNAVAILABLE.
  void OnChange() override;
  // Stops all for good: their requests, and those to come, fail with `reason`.
  void StopAll(const absl::Status& reason);

 private:
  ModelHost& host_;
  const SchedulerOptions options_;
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Scheduler>> schedulers_ ABSL_GUARDED_BY(mutex_);
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_SCHEDULER_POOL_H_
