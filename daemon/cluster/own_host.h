#ifndef HEARTH_DAEMON_CLUSTER_OWN_HOST_H_
#define HEARTH_DAEMON_CLUSTER_OWN_HOST_H_

#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "daemon/capacity/yielding.h"
#include "daemon/planning/cluster_plan.h"
#include "engine/base/mutex.h"

namespace hearth {

// Whether the coordinator's own machine holds shares of models or only leads: somebody has paused it, or its
// owner wants it. Thread-safe.
class OwnHost {
 public:
  // `changed`: called without locks when the problem is another one.
  OwnHost(const YieldOptions& options, std::function<void()> changed);
  ~OwnHost();

  void Start();
  void Stop();
  // It is paused until then; a time that is over: it is not.
  void SetPause(absl::Time until);
  // Why it is to hold nothing, in words; empty: it may.
  std::string problem() const;

 private:
  void Run();
  std::string Problem() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::function<void()> changed_;

  mutable Mutex mutex_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time paused_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::string yields_ ABSL_GUARDED_BY(mutex_);  // why; empty: its owner does not want it
  Yielding yielding_;                           // the thread's
  std::thread thread_;
};

// What becomes of a leader's problem in a plan: a sentence; empty where it has none.
std::string OwnersSentence(const std::string& leader, const std::string& problem, const ClusterPlan& plan);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_OWN_HOST_H_
