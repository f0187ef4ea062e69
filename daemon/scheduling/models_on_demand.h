#ifndef HEARTH_DAEMON_SCHEDULING_MODELS_ON_DEMAND_H_
#define HEARTH_DAEMON_SCHEDULING_MODELS_ON_DEMAND_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "daemon/model_host.h"
#include "daemon/scheduling/change_notifier.h"
#include "daemon/scheduling/scheduler_pool.h"
#include "engine/base/mutex.h"

namespace hearth {

struct OnDemandOptions {
  ModelHost* host =
      nullptr;  // that loads them; outlives who has these options; null: nothing is loaded on demand
  std::string directory;                           // of GGUF files
  absl::Duration idle = absl::InfiniteDuration();  // without requests, after which a model is unloaded
};

// Finds the schedulers of models, and loads those of a directory when somebody asks for them: who asks waits.
// Where memory does not do, the model of them that has gone without requests for longest gives way; never one
// that has some. Models that were loaded otherwise are left alone. Thread-safe.
class ModelsOnDemand : public ChangeListener {
 public:
  // Requests that wait for a model.
  static constexpr size_t kMostWaiting = 256;
  // Models are shown, and looked for, among so many files.
  static constexpr size_t kMostFiles = 1024;

  using Found = std::function<void(absl::StatusOr<std::shared_ptr<Scheduler>>)>;

  // `schedulers` outlives this.
  ModelsOnDemand(SchedulerPool& schedulers, OnDemandOptions options)
      : schedulers_(schedulers), options_(std::move(options)) {}

  // Calls `found`, without locks: at once for a model that is loaded, with the error for one that is not to
  // be had; else when it is ready or cannot be loaded. DEADLINE_EXCEEDED at `deadline`; RESOURCE_EXHAUSTED
  // when kMostWaiting wait already. Otherwise the errors of SchedulerPool::Find.
  void Find(const std::string& name, absl::Time deadline, Found found);
  // Names of those that are not loaded.
  std::vector<std::string> Available() const;
  // Those who wait, and those to come that would have to, get `reason`.
  void Stop(const absl::Status& reason);

  // Once a second at least.
  void OnChange() override { Look(absl::Now()); }
  // The same, for tests.
  void Look(absl::Time now);

 private:
  struct Waiting {
    std::string name;
    absl::Time deadline;
    Found found;
  };
  struct Loaded {
    absl::Time used;
    absl::Time made_room = absl::InfinitePast();  // when another last gave way to it
  };
  using Result = std::optional<absl::StatusOr<std::shared_ptr<Scheduler>>>;

  std::map<std::string, std::string> Files() const;
  // The file of the model that a request means.
  std::optional<std::pair<std::string, std::string>> FileFor(const std::string& name) const;
  Result Try(const std::string& name, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Result AfterFailure(const ModelInfo& model, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteUse(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UnloadIdle(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SchedulerPool& schedulers_;
  const OnDemandOptions options_;
  mutable Mutex mutex_;
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Loaded> loaded_ ABSL_GUARDED_BY(mutex_);  // by this, by name
  std::vector<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_MODELS_ON_DEMAND_H_
