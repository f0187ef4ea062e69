#ifndef HEARTH_DAEMON_CLUSTER_CLUSTER_MODEL_H_
#define HEARTH_DAEMON_CLUSTER_CLUSTER_MODEL_H_

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
#include "daemon/cluster/active_plan.h"
#include "daemon/cluster/plan_keeper.h"
#include "daemon/cluster/plan_preparer.h"
#include "daemon/cluster/plan_slots.h"
#include "daemon/cluster/sleepers.h"
#include "daemon/membership/roster.h"
#include "daemon/model_host.h"
#include "daemon/node_options.h"
#include "daemon/planning/cache_size.h"
#include "daemon/planning/cluster_plan.h"
#include "daemon/planning/memory_book.h"
#include "daemon/weights/bundle_catalog.h"
#include "daemon/weights/model_file.h"
#include "daemon/weights/model_files.h"
#include "engine/base/mutex.h"
#include "engine/base/thread_pool.h"

namespace hearth {

// What a coordinator's models have in common.
struct ClusterModelContext {
  NodeOptions options;
  std::vector<HostDeviceSpec> devices;  // of the coordinator's host
  std::shared_ptr<Roster> roster;
  std::function<HostCapacity()> own_capacity;
  std::function<std::string()> own_problem;  // see OwnHost
  std::function<uint64_t()> next_epoch;
  std::shared_ptr<MemoryBook> memory;  // of all devices
  std::function<HeldByModel()> held;   // by the plans of all models, whatever is reserved
  // Hosts that are away and may be woken for a model, and what wakes them by their names, each once in a
  // while; says in words what is waited for.
  std::function<std::vector<Sleepers::Host>()> away;
  std::function<std::string(const std::string& model, const std::vector<std::string>& names)> wake;
  // Held while a model tries how much memory there is, so that two do not count on the same.
  mutable Mutex trying;
  std::function<void()> changed;         // models or plans have changed; called without locks
  std::function<void()> memory_changed;  // what is reserved or held has; likewise
};

// A model of the coordinator, from its file to its newest plan. Three parties:
//  - the keeper, the thread that calls Run: loads the file, plans, prepares each plan's shards here and on
//  the workers,
//    and when all are ready leaves the plan for
//  - the scheduler's thread, which takes it over between two steps (PrepareStep) and computes with it;
//  - any thread: Info, View, Kick, Stop.
class ClusterModel : public ServedModel {
 public:
  // `source`: with its name and objective. `adapter`: what its adapters do (OpenAdapters), or null.
  // `drafts_for`, which has served: the model that it guesses for; null: none.
  ClusterModel(const ModelSource& source, std::shared_ptr<const GgufFile> file,
               std::shared_ptr<const GgufFile> adapter, std::shared_ptr<const ClusterModelContext> context,
               std::shared_ptr<const ClusterModel> drafts_for = nullptr);
  ~ClusterModel() override;

  // The keeper's work; returns after Stop.
  void Run();
  // Something has changed that plans depend on: hosts, or what they report.
  void Kick();
  // Somebody waits for a plan: hosts without which there is none may be woken.
  void Want();
  // Whether it guesses for another one and answers nobody.
  bool is_draft() const { return drafts_for_.has_value(); }
  // Has another model guess for it; once it HasServed.
  void SetDraft(std::shared_ptr<ClusterModel> draft);
  // Ends Run and makes every later step fail with UNAVAILABLE.
  void Stop();

  // For status.
  ModelInfo Info() const;
  // Whether it has been ready: from then on its requests wait where a plan is missing.
  bool HasServed() const;
  // The newest plan that is ready; nullopt while there is none.
  std::optional<PlanView> View(const std::vector<Roster::Host>& hosts) const;
  // The bundle of a hash that one of this model's plans names.
  absl::StatusOr<std::vector<uint8_t>> FindBundle(const Sha256Digest& sha256) const;
  // What it is read from; nullopt as long as it has never been ready, and once its file has changed.
  std::optional<ServedFiles> Files() const;
  // What the plans that are loaded take of each device's memory.
  ReservedBytes Held() const;

  // ServedModel; all but PrepareStep, AwaitReady and ReportLostDevice only once it HasServed.
  const std::string& name() const override { return name_; }
  const std::string& digest() const override { return identity_; }
  const Tokenizer& tokenizer() const override { return *file_.tokenizer; }
  const ChatTemplates& chat() const override { return file_.chat; }
  Decoder& decoder() override { return *decoder_; }
  std::shared_ptr<ServedModel> draft() const override;
  int32_t vocab_size() const override { return static_cast<int32_t>(file_.outline->spec.n_vocab); }
  bool NewPlanWaits() const override;
  bool PlanIsOnItsWay() const override;
  absl::Status PrepareStep() override;
  ReuseRules reuse() const override { return reuse_; }
  void AwaitReady(int timeout_ms) override;
  void ReportLostDevice(const absl::Status& status) override;
  void NoteStep(uint32_t rows, absl::Duration took) override;
  void NotePromptStep(uint32_t rows, absl::Duration took) override;

 private:
  absl::Status OpenFile();
  absl::Status CheckDraft() const;
  std::optional<SparsityMode> WantedSparsity() const;
  CacheWish WishForCache() const;
  absl::Status SettleCacheSize();
  absl::Status SetCacheSize(const CacheSize& size);
  DecoderOptions DecoderOptionsOf() const;
  placement::Objective PlannedObjective() const;
  absl::Status IdentifyFile();
  std::unique_ptr<PlanPreparer> MakePreparer();
  absl::Status LoadLeader();
  void Keep();
  bool AwaitKick(absl::Duration at_most);
  PlanKeeper::Hosts UsableHosts() const;
  void StayAfter(const absl::Status& status);
  bool TakeWish();
  absl::Status WakeMissing();
  ReservedBytes HeldByOthers() const;
  ReservedBytes TakenByOthers() const;
  void TakeNotes();
  void LearnFromPlan(const PlanKeeper::Hosts& hosts);
  // See PlanPreparer::Hooks.
  bool SpareGpus(const std::string& host);
  HostCapacity OwnCapacity() const;
  PlanWish WishFor(const std::vector<Roster::Host>& hosts) const;
  absl::StatusOr<ClusterPlan> TryPlan(const std::vector<Roster::Host>& hosts, Room room) const;
  std::vector<std::string> ReasonsFor(const ClusterPlan& plan) const;
  absl::StatusOr<std::optional<ClusterPlan>> ReservePlan(ActivePlan* in_use,
                                                         const std::vector<Roster::Host>& hosts);
  absl::Status Replan();
  absl::Status AwaitRoom(const ClusterPlan& plan);
  absl::Status ChangeTo(ClusterPlan plan, const std::vector<Roster::Host>& hosts);
  absl::Status GiveUpFirst(const std::string& why);
  void Publish(std::shared_ptr<ActivePlan> plan);
  bool IsAlive(Roster::Session session) const;
  void GiveUpBroken();
  void GiveUp();
  void WantShards();
  void SetPreparing(std::shared_ptr<ActivePlan> plan);
  void ReleaseRetired();
  bool LetGoOfRetired();
  std::shared_ptr<ActivePlan> Newest() const;
  absl::Status Outage();
  ReuseRules ReuseWith(const ActivePlan& plan) const;
  void TakeOverCaches(const ActivePlan* former, const ActivePlan* plan);
  void Retire();
  // Which hosts of a broken plan are lost, in words.
  std::string LossOf(const ActivePlan& plan) const;
  // `add` puts a step beside what the plan in use expects.
  void CountStep(const std::function<void(ActivePlan&)>& add);
  void SetState(ModelState state, const std::string& detail, const absl::Status& error = absl::OkStatus());
  void SetFailed(const absl::Status& status);
  bool ChangeState(ModelState state, const std::string& detail, const absl::Status& error)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetProgress(const std::string& detail, uint64_t done, uint64_t total);

  const std::string name_;
  const placement::Objective objective_;  // as it was asked for
  const std::shared_ptr<const ClusterModelContext> context_;
  // The model that it guesses for, and that one's cache.
  struct Drafted {
    std::weak_ptr<const ClusterModel> model;
    CacheSize cache;
  };
  const std::optional<Drafted> drafts_for_;

  // The keeper's; those that others read are set before the state becomes kReady.
  std::string digest_;    // of the file
  std::string identity_;  // the same, or with an adapter a hash of both
  ModelFile file_;
  CacheSize cache_size_;         // settled with the first plan
  double disk_bytes_per_s_ = 0;  // see MeasureDisk
  std::shared_ptr<BundleCatalog> catalog_;
  placement::Model description_;
  std::unique_ptr<ThreadPool> pool_;  // the leader's
  std::unique_ptr<HostDevices> devices_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Decoder> decoder_;
  PlanKeeper keeper_;
  std::unique_ptr<PlanPreparer> preparer_;
  // For the plan that could not be prepared; there would be without the former one.
  bool no_room_beside_ = false;
  // Why there is no plan, where that is memory; else OK.
  absl::Status no_memory_;

  ReuseRules reuse_;  // the scheduler's thread's

  std::atomic<bool> stop_{false};
  mutable Mutex mutex_;
  CondVar kicked_;
  bool kick_ ABSL_GUARDED_BY(mutex_) = false;
  bool wanted_ ABSL_GUARDED_BY(mutex_);  // somebody has loaded it, or waits for a plan
  absl::Time want_again_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  CondVar ready_;
  ModelInfo info_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<BundleCatalog> shared_catalog_ ABSL_GUARDED_BY(mutex_);
  PlanSlots slots_ ABSL_GUARDED_BY(mutex_);
  // Why there is no plan until another one is loaded; empty: there is.
  std::string given_up_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> lost_hosts_ ABSL_GUARDED_BY(mutex_);  // that the keeper has yet to hear of
  bool own_gpu_failed_ ABSL_GUARDED_BY(mutex_) = false;          // likewise
  std::shared_ptr<ClusterModel> draft_ ABSL_GUARDED_BY(mutex_);  // null: none
  uint32_t steps_ ABSL_GUARDED_BY(mutex_) = 0;  // since the keeper was last asked to look at speeds
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_CLUSTER_MODEL_H_
