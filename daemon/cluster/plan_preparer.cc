#include "daemon/cluster/plan_preparer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/capacity/capacity.h"
#include "daemon/channel/remote_device.h"
#include "daemon/channel/shard_shape.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/device/weight_source.h"
#include "placement/units.h"

namespace hearth {
namespace {

// The time a worker has to answer the hello of a plan that it says is ready.
constexpr std::chrono::seconds kConnectTimeout{2};
// Memory that must stay free when a plan is prepared beside the one in use.
constexpr uint64_t kMemoryMargin = uint64_t{256} << 20;

}  // namespace

PlanPreparer::PlanPreparer(Roster& roster, Subject subject, Hooks hooks)
    : roster_(roster), subject_(std::move(subject)), hooks_(std::move(hooks)) {}

absl::StatusOr<std::shared_ptr<ActivePlan>> PlanPreparer::Prepare(uint64_t epoch,
                                                                  const ClusterPlan& cluster_plan,
                                                                  const std::vector<Roster::Host>& hosts,
                                                                  std::shared_ptr<const ActivePlan> former,
                                                                  Former is) {
  auto plan = std::make_shared<ActivePlan>();
  plan->epoch = epoch;
  plan->plan = cluster_plan;
  plan->expected_us = plan->plan.plan.time.total_us;
  for (size_t i = 0; i < hosts.size(); ++i) {
    if (!plan->plan.Uses(i + 1)) continue;
    HEARTH_ASSIGN_OR_RETURN(ActivePlan::Remote remote, DescribeRemote(plan->plan, i + 1, hosts[i], epoch));
    plan->remotes.push_back(std::move(remote));
  }
  HEARTH_ASSIGN_OR_RETURN(std::vector<DeviceShare> shares,
                          SharesOf(UnitsOf(plan->plan, 0), *subject_.outline, subject_.devices->specs()));
  plan->local = std::make_unique<HostShare>(subject_.outline, subject_.shard.decoder, std::move(shares),
                                            *subject_.devices);
  spdlog::info("model {}: preparing plan {} with {} of {} other hosts", subject_.shard.model, epoch,
               plan->remotes.size(), hosts.size());
  hooks_.want(plan);
  if (former != nullptr) plan->local->Adopt(*former->local);
  if (is == Former::kGivenUp) former = nullptr;
  HEARTH_RETURN_IF_ERROR(LoadLocal(*plan, former.get()));
  HEARTH_RETURN_IF_ERROR(AwaitWorkers(*plan, former.get()));
  HEARTH_RETURN_IF_ERROR(Connect(*plan));
  return plan;
}

absl::StatusOr<ActivePlan::Remote> PlanPreparer::DescribeRemote(const ClusterPlan& plan, size_t number,
                                                                const Roster::Host& host, uint64_t epoch) {
  ShardDescription shard = subject_.shard;
  shard.epoch = epoch;
  shard.units = UnitsOf(plan, number);
  HEARTH_ASSIGN_OR_RETURN(shard.skeleton, subject_.catalog->IdentifySkeleton());
  uint32_t layer = 0;
  for (PlacedUnit& placed : shard.units) {
    if (placed.unit.layer != layer) subject_.catalog->ReleaseLayer(layer);
    layer = placed.unit.layer;
    HEARTH_ASSIGN_OR_RETURN(placed.bundle, subject_.catalog->Identify(placed.unit));
    if (hooks_.stopped()) return absl::AbortedError("stopped");
  }
  subject_.catalog->ReleaseLayer(layer);
  std::vector<HostDeviceSpec> devices;
  for (const DeviceCapacity& device : host.capacity.devices) devices.push_back({device.name});
  HEARTH_ASSIGN_OR_RETURN(const std::vector<DeviceShare> shares,
                          SharesOf(shard.units, *subject_.outline, devices));
  return ActivePlan::Remote{host.name, host.session, ShapeOf(epoch, *subject_.outline, shard.decoder, shares),
                            std::move(shard), nullptr};
}

// `beside`: the former plan, where it stays until this one is ready; null: there is none.
absl::Status PlanPreparer::LoadLocal(ActivePlan& plan, const ActivePlan* beside) {
  if (beside != nullptr) HEARTH_RETURN_IF_ERROR(CheckRoomBeside(plan, *beside));
  ThreadPool pool(ThreadPool::AvailableCores());
  FileSource source(subject_.file, subject_.outline);
  const absl::Status loaded = plan.local->Load(source, pool, [&](uint64_t bytes) {
    hooks_.progress("reading weights", bytes, subject_.unit_bytes);
    return StillPossible(plan) ? absl::OkStatus() : absl::AbortedError("a host was lost meanwhile");
  });
  if (absl::IsResourceExhausted(loaded)) {
    if (hooks_.spare_gpus(plan.plan.cluster.hosts[0].name)) return absl::AbortedError(loaded.message());
    hooks_.leader_is_full(std::string(loaded.message()));
  }
  HEARTH_RETURN_IF_ERROR(loaded);
  return source.CheckUnchanged();
}

// Of the leader.
absl::Status PlanPreparer::CheckRoomBeside(const ActivePlan& plan, const ActivePlan& former) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t missing, plan.local->MissingBytes());
  const uint64_t free = subject_.free_memory();
  if (missing <= free - (former.broken ? 0 : std::min(free, kMemoryMargin))) return absl::OkStatus();
  if (former.broken) {
    hooks_.give_up_broken();
    return absl::AbortedError("there is no room beside a plan that is broken");
  }
  const uint64_t held = former.local->memory_bytes();
  const uint64_t taken_over = plan.local->memory_bytes();
  const absl::Status full = absl::ResourceExhaustedError(
      absl::StrCat("keeps plan ", former.epoch, ": another one would need ", placement::FormatBytes(missing),
                   " of memory beside it and ", placement::FormatBytes(free), " are free"));
  if (missing <= free + held - std::min(held, taken_over)) {
    hooks_.no_room_beside();
  } else {
    hooks_.leader_is_full(std::string(full.message()));
  }
  return full;
}

// Whether all hosts of a plan in preparation are still there.
bool PlanPreparer::StillPossible(const ActivePlan& plan) const {
  if (hooks_.stopped()) return false;
  return std::all_of(plan.remotes.begin(), plan.remotes.end(), [&](const ActivePlan::Remote& remote) {
    const std::optional<Roster::Host> host = roster_.Find(remote.session);
    return host && host->state == HostState::kAlive;
  });
}

absl::Status PlanPreparer::AwaitWorkers(const ActivePlan& plan, const ActivePlan* beside) {
  for (;;) {
    const ShardProgress progress =
        LookAtShards(plan, [this](Roster::Session session) { return roster_.Find(session); });
    if (progress.failed) return JudgeFailedLoad(plan, beside, progress);
    HEARTH_RETURN_IF_ERROR(progress.status);
    if (hooks_.stopped()) return absl::AbortedError("stopped");
    if (progress.waiting_for.empty()) return absl::OkStatus();
    hooks_.progress(absl::StrCat("waiting for the weights of host ", progress.waiting_for),
                    plan.local->weight_bytes() + progress.bytes_done, subject_.unit_bytes);
    hooks_.await_change();
  }
}

absl::Status PlanPreparer::JudgeFailedLoad(const ActivePlan& plan, const ActivePlan* beside,
                                           const ShardProgress& progress) {
  const std::string& host = progress.failed->name;
  if (beside != nullptr && IsInTheWay(*beside, plan, progress)) {
    hooks_.no_room_beside();
    return absl::ResourceExhaustedError(
        absl::StrCat("keeps plan ", beside->epoch, ": on host ", host, " another one would need ",
                     placement::FormatBytes(progress.short_bytes), " more memory beside it than is free"));
  }
  if (!hooks_.spare_gpus(host)) hooks_.failed_load(*progress.failed, progress.reason);
  return progress.status;
}

absl::Status PlanPreparer::Connect(ActivePlan& plan) {
  for (const auto& [unit, id] : plan.local->cache_ids()) plan.caches[unit] = {0, id};
  for (ActivePlan::Remote& remote : plan.remotes) {
    const std::optional<Roster::Host> host = roster_.Find(remote.session);
    if (!host) return absl::AbortedError(absl::StrCat("host ", remote.host, " was lost"));
    std::vector<UnitId> heads;
    for (const PlacedUnit& placed : remote.shard.units) {
      if (placed.unit.kind == UnitKind::kHeads) heads.push_back(placed.unit);
    }
    std::sort(heads.begin(), heads.end());
    std::vector<uint64_t> cache_ids(heads.size());
    auto socket = OpenTensorConnection(host->tensor_address, host->token, plan.epoch,
                                       FrameSocket::Clock::now() + kConnectTimeout, absl::MakeSpan(cache_ids),
                                       host->tls);
    if (!socket.ok()) {
      const std::string reason(socket.status().message());
      roster_.ReportLost(remote.session, reason);
      return absl::AbortedError(reason);
    }
    for (size_t i = 0; i < heads.size(); ++i) plan.caches[heads[i]] = {remote.session, cache_ids[i]};
    remote.device = std::make_shared<RemoteDevice>(
        remote.host, remote.shape, ExpectedTimesOf(plan.plan.plan, subject_.outline->spec.n_layers),
        *std::move(socket));
  }
  return absl::OkStatus();
}

}  // namespace hearth
