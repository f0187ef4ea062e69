#ifndef HEARTH_DAEMON_CLUSTER_ACTIVE_PLAN_H_
#define HEARTH_DAEMON_CLUSTER_ACTIVE_PLAN_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "daemon/channel/remote_device.h"
#include "daemon/cluster_view.h"
#include "daemon/membership/roster.h"
#include "daemon/planning/cluster_plan.h"
#include "daemon/planning/device_speeds.h"
#include "daemon/planning/step_times.h"
#include "daemon/weights/shard_description.h"
#include "engine/base/mutex.h"
#include "engine/device/host_share.h"
#include "engine/model/decoder.h"

namespace hearth {

// Why a plan is as it is, in sentences, as far as that is newer than the plan. Thread-safe.
class NewerReasons {
 public:
  void Set(std::vector<std::string> sentences) {
    MutexLock lock(&mutex_);
    sentences_ = std::move(sentences);
  }
  // nullopt: those of the plan still hold.
  std::optional<std::vector<std::string>> Get() const {
    MutexLock lock(&mutex_);
    return sentences_;
  }

 private:
  mutable Mutex mutex_;
  std::optional<std::vector<std::string>> sentences_ ABSL_GUARDED_BY(mutex_);
};

// A plan whose shards are all loaded: the leader's own devices and a connection to every other host that
// takes part. Immutable but for what is atomic, a StepTimes or NewerReasons; the devices are used by the
// scheduler's thread.
struct ActivePlan {
  struct Remote {
    std::string host;
    Roster::Session session = 0;
    ShardShape shape;
    ShardDescription shard;
    std::shared_ptr<RemoteDevice> device;
  };

  // What a head group's cache is known by: the session of the host that has it (0: the leader's own) and that
  // host's name for it.
  using CacheId = std::pair<Roster::Session, uint64_t>;

  uint64_t epoch = 0;
  ClusterPlan plan;
  std::unique_ptr<HostShare> local;
  std::vector<Remote> remotes;
  std::map<UnitId, CacheId> caches;  // of every head group
  // One of its hosts is lost: it can never be used again.
  std::atomic<bool> broken{false};
  StepTimes step_times;
  // What a token is expected to take, with what is known of the cluster by now.
  std::atomic<double> expected_us{0};
  // Of the same placement, planned again since then.
  NewerReasons newer_reasons;

  // What the decoder is to use: valid as long as the plan.
  std::vector<Device*> devices() const;
  std::vector<Decoder::StagePart> stages() const;
  // Whether the plan relies on exactly these sessions of its remote hosts.
  bool UsesSessions(const std::vector<Roster::Host>& hosts) const;
};

// What the plan expects of each request, whoever answers it.
ExpectedTimes ExpectedTimesOf(const placement::Plan& plan, uint32_t layers);

// What the reports of a plan's hosts say about its shards.
struct ShardProgress {
  absl::Status status;                 // ABORTED: the plan cannot be had any more
  std::string waiting_for;             // a host whose shard is not ready; empty: none
  uint64_t bytes_done = 0;             // on all of them
  std::optional<Roster::Host> failed;  // the host that could not load its shard, ...
  std::string reason;                  // ... and why
  uint64_t short_bytes = 0;            // of memory, where that is why
};
ShardProgress LookAtShards(const ActivePlan& plan,
                           const std::function<std::optional<Roster::Host>(Roster::Session)>& find);

// Whether the host that had no memory for its shard of `plan` would have it without `former`, which is in
// use.
bool IsInTheWay(const ActivePlan& former, const ActivePlan& plan, const ShardProgress& progress);

// Adds what the plan's devices have counted of single rows; see DeviceSpeeds. A plan that has none here
// counts those of its workers.
void NoteSpeeds(const ActivePlan& plan, const std::vector<Roster::Host>& hosts,
                DeviceSpeeds::Clock::time_point now, DeviceSpeeds& speeds);

// What its devices have seen of how often neurons fire.
std::vector<LayerFiring> FiringUnder(const ActivePlan& plan, const std::vector<Roster::Host>& hosts);

// What the plan's devices hold and have done. `hosts` have the workers' reports.
PlanView ViewOf(const ActivePlan& plan, const std::string& model, const std::vector<Roster::Host>& hosts);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_ACTIVE_PLAN_H_
