#ifndef HEARTH_DAEMON_MEMBERSHIP_WORKER_H_
#define HEARTH_DAEMON_MEMBERSHIP_WORKER_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/capacity/capacity.h"
#include "daemon/capacity/owner_signs.h"
#include "daemon/capacity/yielding.h"
#include "daemon/channel/tensor_server.h"
#include "daemon/cluster_view.h"
#include "daemon/membership/coordinator_client.h"
#include "daemon/membership/host_identity.h"
#include "daemon/membership/listener.h"
#include "daemon/membership/sync_core.h"
#include "daemon/membership/told_coordinators.h"
#include "daemon/node_options.h"
#include "daemon/weights/bundle_source.h"
#include "daemon/weights/model_copier.h"
#include "daemon/weights/shard_loader.h"
#include "engine/base/mutex.h"

namespace hearth {

// A host that holds shards for a coordinator elsewhere: calls it, again and again, reports what it is and
// has, and lets its ShardLoader work towards what the coordinator wants. See worker.proto. Thread-safe.
class Worker : public ClusterView {
 public:
  // Opens the tensor port and the store. UNAVAILABLE when either cannot be had.
  static absl::StatusOr<std::unique_ptr<Worker>> Create(const NodeOptions& options, HostIdentity identity,
                                                        std::vector<HostDeviceSpec> devices,
                                                        HostCapacity capacity);
  ~Worker() override;

  // Once.
  void Start();
  void Stop();  // idempotent
  // Waits until the coordinator has answered for the first time, or cannot be reached (at most some seconds):
  // OK, since it may come yet. Its words when it does not want this host, which calling again will not
  // change.
  absl::Status AwaitAccepted();
  // The same words where a coordinator that was called again did not want this host, which none has taken
  // yet; OK otherwise.
  absl::Status Refusal() const;

  ClusterSnapshot Snapshot() const override;
  void SetListener(std::function<void()> listener) override { listener_.Set(std::move(listener)); }

 private:
  using Clock = SyncCore::Clock;

  Worker(const NodeOptions& options, HostIdentity identity, std::vector<HostDeviceSpec> devices,
         HostCapacity capacity, std::unique_ptr<TensorServer> server, std::unique_ptr<BundleStore> store);
  void Run();
  void ChooseCoordinator();
  // One Synchronize stream, from the first report to its end.
  void Synchronize();
  bool TakeAnswer(SyncCall& call, absl::Status& ended);
  void Wake();
  // Asks, once a second, whether this host is to leave its machine to its owner.
  void LookForOwner(Clock::time_point now);
  // Asks, once a minute, by what this machine can be woken.
  void LookAtCards(Clock::time_point now);
  WorkerReport MakeReport() const;
  HostCapacity CurrentCapacity() const;
  void SetConnected(bool connected, const std::string& detail);
  void SetOutcome(const absl::Status& outcome);

  const NodeOptions options_;
  const HostIdentity identity_;
  const HostCapacity capacity_;
  HostDevices devices_;
  const std::unique_ptr<TensorServer> server_;
  const std::unique_ptr<BundleSource> weights_;
  Listener listener_;

  // Of the thread that synchronizes.
  SyncCore sync_;
  ToldCoordinators told_;
  std::string coordinator_;                    // the one that is called
  std::unique_ptr<CoordinatorClient> client_;  // of it
  uint64_t key_version_ = 0;                   // that it shows
  Yielding yielding_;
  std::vector<NetworkCard> cards_;
  Clock::time_point look_at_cards_{};  // again

  mutable Mutex mutex_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;       // something is to be looked at
  bool report_now_ ABSL_GUARDED_BY(mutex_) = false;  // before the interval is over
  std::string yields_ ABSL_GUARDED_BY(mutex_);       // why; empty: it takes part
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
  bool warned_ ABSL_GUARDED_BY(mutex_) = false;    // that it is not
  bool called_ ABSL_GUARDED_BY(mutex_) = false;    // once at least, with whatever outcome
  bool accepted_ ABSL_GUARDED_BY(mutex_) = false;  // once at least
  size_t refusals_ ABSL_GUARDED_BY(mutex_) = 0;    // one after the other, by as many addresses
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  std::string detail_ ABSL_GUARDED_BY(mutex_) = "calling the coordinator";
  ShardLoader loader_;                   // after what it borrows
  std::unique_ptr<ModelCopier> copier_;  // null: this host will never lead
  std::thread thread_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_WORKER_H_
