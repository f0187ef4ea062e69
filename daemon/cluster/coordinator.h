#ifndef HEARTH_DAEMON_CLUSTER_COORDINATOR_H_
#define HEARTH_DAEMON_CLUSTER_COORDINATOR_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "daemon/cluster/cluster_model.h"
#include "daemon/cluster/expected_plan.h"
#include "daemon/cluster/own_host.h"
#include "daemon/cluster/sleepers.h"
#include "daemon/cluster_view.h"
#include "daemon/host_control.h"
#include "daemon/membership/host_identity.h"
#include "daemon/membership/listener.h"
#include "daemon/membership/pauses.h"
#include "daemon/membership/roster.h"
#include "daemon/model_host.h"
#include "daemon/node_options.h"
#include "engine/base/mutex.h"

namespace hearth {

// The models of a cluster and what it shows of itself. Each model has a thread, its keeper (see
// ClusterModel); another one joins the keepers of models that were unloaded. Thread-safe.
class Coordinator : public ModelHost, public HostControl {
 public:
  // `devices` and `capacity` are this host's.
  Coordinator(const NodeOptions& options, HostIdentity identity, std::vector<HostDeviceSpec> devices,
              HostCapacity capacity, Pauses pauses);
  ~Coordinator() override;

  // Once.
  void Start();
  // Ends the streams of workers and all threads; steps of models fail from now on. Idempotent.
  void Stop();

  // Its parts, for the services.
  Roster& roster() { return *roster_; }
  ClusterView& view() { return view_; }
  // A bundle of the model with this digest. NOT_FOUND when there is no such model or bundle.
  absl::StatusOr<std::vector<uint8_t>> FindBundle(const std::string& model_digest,
                                                  const Sha256Digest& sha256) const;
  // What the models that are ready are read from.
  std::vector<ServedFiles> Files() const;

  absl::StatusOr<std::string> Load(const ModelSource& source) override;
  absl::Status Unload(const std::string& name) override;
  std::vector<ModelInfo> List() const override;
  absl::StatusOr<std::shared_ptr<ServedModel>> Find(const std::string& name) const override;
  absl::Status Pause(const std::string& host, absl::Time until, const std::optional<HostId>& caller) override;
  absl::Status Resume(const std::string& host, const std::optional<HostId>& caller) override;
  absl::StatusOr<WokenHosts> Wake(const std::string& host) override;
  // Somebody was removed from the home.
  void Forget(const HostId& id);
  void SetListener(std::function<void()> listener) override { models_listener_.Set(std::move(listener)); }

 private:
  class View : public ClusterView {
   public:
    explicit View(Coordinator& coordinator) : coordinator_(coordinator) {}
    ClusterSnapshot Snapshot() const override { return coordinator_.Snapshot(); }
    absl::StatusOr<ExpectedPlan> Expect(const ModelFigures& figures) const override {
      return ExpectPlan(figures, *coordinator_.context_);
    }
    void SetListener(std::function<void()> listener) override {
      coordinator_.cluster_listener_.Set(std::move(listener));
    }

   private:
    Coordinator& coordinator_;
  };
  struct Entry {
    std::shared_ptr<ClusterModel> model;
    std::thread keeper;
    bool unloading = false;
    // Of the model that is to guess for it once it has served; null: none, or it is there.
    std::shared_ptr<const GgufFile> draft_file = nullptr;
    std::string drafts_for = {};  // name of the model that it guesses for; empty: it answers
  };

  struct NamedHost {
    std::string name;
    std::string id;
  };

  // The host that the caller wants to pause or resume.
  absl::StatusOr<NamedHost> HostToPause(const std::string& name, const std::optional<HostId>& caller) const;
  void ShowPauses() ABSL_EXCLUSIVE_LOCKS_REQUIRED(pauses_mutex_);
  absl::StatusOr<std::vector<std::string>> SendTo(std::vector<Sleepers::Host>& hosts);
  std::string WakeForModel(const std::string& model, const std::vector<std::string>& names);
  ClusterSnapshot Snapshot() const;
  HostView ShowOwnHost(const std::vector<Roster::Host>& others) const;
  // All, and those that answer.
  std::vector<std::shared_ptr<ClusterModel>> Models() const;
  std::vector<std::shared_ptr<ClusterModel>> AnsweringModels() const;
  std::unique_ptr<Entry> MakeEntry(const ModelSource& source, std::shared_ptr<const GgufFile> file,
                                   std::shared_ptr<const GgufFile> adapter,
                                   std::shared_ptr<const ClusterModel> drafts_for) const;
  void StartDrafts();
  // What models hold of the devices' memory.
  HeldByModel Held() const;
  std::unique_ptr<Entry> TakeFailed(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status NoSuchModel(const std::string& name) const;
  void Reap();
  void OnModelsChanged();
  void OnHostsChanged();
  void OnOwnerChanged();
  void KickAll();

  const NodeOptions options_;
  const HostCapacity capacity_;
  const std::string own_id_;
  const std::shared_ptr<Roster> roster_;
  Sleepers sleepers_;
  View view_{*this};
  Listener models_listener_;
  Listener cluster_listener_;
  std::atomic<uint64_t> last_epoch_;

  mutable Mutex mutex_;
  CondVar unloaded_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const ClusterModelContext> context_;
  std::thread reaper_;
  OwnHost own_host_;

  Mutex pauses_mutex_;
  Pauses pauses_ ABSL_GUARDED_BY(pauses_mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_COORDINATOR_H_
