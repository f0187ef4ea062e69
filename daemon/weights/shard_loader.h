#ifndef HEARTH_DAEMON_WEIGHTS_SHARD_LOADER_H_
#define HEARTH_DAEMON_WEIGHTS_SHARD_LOADER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "daemon/weights/bundle_source.h"
#include "daemon/weights/bundle_store.h"
#include "daemon/weights/session_token.h"
#include "daemon/weights/shard_description.h"
#include "daemon/weights/shard_jobs.h"
#include "daemon/weights/shard_publisher.h"
#include "daemon/weights/shard_status.h"
#include "engine/base/mutex.h"
#include "engine/base/process_limits.h"
#include "engine/base/thread_pool.h"
#include "engine/device/host_share.h"
#include "engine/model/led_stage.h"

namespace hearth {

// Brings a worker to the state that its coordinator wants, with a thread of its own: fetches bundles that the
// store lacks, loads shards into the devices, publishes those that are ready, and
// drops the others. What was loaded for a former plan is taken over where the new one wants it too.
// Thread-safe.
class ShardLoader {
 public:
  // All are borrowed but the store. `changed` is called (from the loader's thread, without locks) when a
  // shard enters another phase. `free_memory`: bytes that this process may still take.
  ShardLoader(
      HostDevices& devices, ShardPublisher& publisher, BundleSource& source,
      std::unique_ptr<BundleStore> store, std::function<void()> changed,
      std::function<uint64_t()> free_memory = [] { return ReadProcessLimits().memory_free_bytes; });
  ~ShardLoader();

  // The shards that the coordinator wants now, in place of those wanted before; `token` is the session's.
  void SetDesired(const SessionToken& token, std::vector<ShardDescription> shards);
  // Gives up what is under way and ends the thread. Idempotent.
  void Stop();

  // How far the desired shards are.
  std::vector<ShardStatus> Statuses() const;
  BundleStoreCounters counters() const;
  // Why no shard can be had at present, whatever is wanted: the disk takes no more, for example. Empty:
  // nothing is known to be in the way. The loader looks again every second, and calls `changed` when that is
  // over.
  std::string problem() const;
  // Weights in the memory of a device.
  uint64_t UsedBytes(const std::string& device) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Held {
    std::shared_ptr<HostShare> share;  // null until the model's skeleton is here
    std::shared_ptr<LedStage> stage;   // of a share that leads one; goes before the share
  };
  using Jobs = ShardJobs<Held>;
  using Job = Jobs::Job;  // of the loader's thread but for `status`

  void Run();
  void TakeDesired();
  void Work(Job& job);
  absl::Status Prepare(Job& job);
  std::shared_ptr<const ModelOutline> KnownOutlineOf(const ShardDescription& description) const;
  absl::StatusOr<std::shared_ptr<const ModelOutline>> OutlineOf(Job& job);
  absl::StatusOr<std::shared_ptr<HostShare>> MakeShare(const ShardDescription& description,
                                                       std::shared_ptr<const ModelOutline> outline,
                                                       const Jobs& others);
  absl::Status FetchMissing(Job& job, const std::vector<BundleId>& bundles);
  absl::StatusOr<std::vector<uint8_t>> ReadBundle(Job& job, const BundleId& bundle);
  absl::Status StillWanted() const;
  void SetPhase(Job& job, ShardPhase phase, const std::string& detail);
  void SetBytesDone(Job& job, uint64_t bytes);
  void CopyCounters();
  void SetProblem(const std::string& problem);
  void LookAgain();

  HostDevices& devices_;
  ShardPublisher& publisher_;
  BundleSource& source_;
  const std::unique_ptr<BundleStore> store_;  // the loader's thread's
  const std::function<void()> changed_;
  const std::function<uint64_t()> free_memory_;
  ThreadPool pool_;
  uint64_t bytes_wanted_ = 0;     // on the disk, when the problem occurred; the loader's thread's
  Clock::time_point look_again_;  // at the problem; the loader's thread's
  // Of models that shares are made of, so that shares of several plans have the same; the loader's thread's.
  struct KnownOutline {
    BundleId skeleton;
    ModelOptions options;
    std::weak_ptr<const ModelOutline> outline;
  };
  std::vector<KnownOutline> outlines_;

  mutable Mutex mutex_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t wanted_ ABSL_GUARDED_BY(mutex_) = 0;         // counts desired states
  uint64_t taken_ ABSL_GUARDED_BY(mutex_) = 0;          // the one that the jobs are made for
  mutable uint64_t asked_ ABSL_GUARDED_BY(mutex_) = 0;  // counts calls of Statuses
  SessionToken wanted_token_ ABSL_GUARDED_BY(mutex_){};
  std::vector<ShardDescription> wanted_shards_ ABSL_GUARDED_BY(mutex_);
  Jobs jobs_ ABSL_GUARDED_BY(mutex_);  // changed by the loader's thread alone
  BundleStoreCounters counters_ ABSL_GUARDED_BY(mutex_);
  std::string problem_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_SHARD_LOADER_H_
