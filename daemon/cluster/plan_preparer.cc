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
#include "engine/base/process_limits.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "placement/units.h"

namespace hearth {
namespace {

// The time a worker has to answer the hello of a plan that it says is ready.
constexpr std::chrono::seconds kConnectTimeout{2};
// Memory that must stay free when a plan is prepared beside the one in use.
constexpr uint64_t kMemoryMargin = uint64_t{256} << 20;

// The number of a host's group in the outline.
uint32_t GroupNumber(const ModelOutline& outline, uint32_t layer, const NeuronGroup& group) {
  const std::vector<NeuronGroup>& groups = outline.neuron_groups[layer];
  const auto found = std::find_if(groups.begin(), groups.end(), [&](const NeuronGroup& other) {
    return other.block == group.block && other.neurons.front() == group.neurons.front();
  });
  return static_cast<uint32_t>(found - groups.begin());
}

}  // namespace

PlanPreparer::PlanPreparer(Roster& roster, Subject subject, Hooks hooks)
    : roster_(roster), subject_(std::move(subject)), hooks_(std::move(hooks)) {}

absl::StatusOr<std::shared_ptr<ActivePlan>> PlanPreparer::Prepare(uint64_t epoch, ClusterPlan cluster_plan,
                                                                  const std::vector<Roster::Host>& hosts,
                                                                  const ActivePlan* former) {
  auto plan = std::make_shared<ActivePlan>();
  plan->epoch = epoch;
  plan->plan = std::move(cluster_plan);
  for (size_t i = 0; i < hosts.size(); ++i) {
    if (!plan->plan.Uses(i + 1)) continue;
    HEARTH_ASSIGN_OR_RETURN(ShardDescription shard, DescribeRemote(plan->plan, i + 1, epoch));
    plan->remotes.push_back({hosts[i].name, hosts[i].session, std::move(shard), nullptr});
  }
  ShardDescription own = subject_.shard;
  own.epoch = epoch;
  plan->local = std::make_unique<LocalShard>(
      DescribeShard(PlacesOf(plan->plan, 0), *subject_.outline, std::move(own)), *subject_.devices);
  spdlog::info("model {}: preparing plan {} with {} of {} other hosts", subject_.shard.model, epoch,
               plan->remotes.size(), hosts.size());
  hooks_.want(*plan);
  HEARTH_RETURN_IF_ERROR(LoadLocal(*plan, former));
  HEARTH_RETURN_IF_ERROR(AwaitWorkers(*plan));
  HEARTH_RETURN_IF_ERROR(Connect(*plan));
  return plan;
}

absl::StatusOr<ShardDescription> PlanPreparer::DescribeRemote(const ClusterPlan& plan, size_t host,
                                                              uint64_t epoch) {
  const std::vector<GroupPlace> places = PlacesOf(plan, host);
  ShardDescription shard = DescribeShard(places, *subject_.outline, subject_.shard);
  shard.epoch = epoch;
  size_t place = 0;
  for (ShardLayer& share : shard.shares) {
    for (PlacedGroup& group : share.groups) {
      HEARTH_ASSIGN_OR_RETURN(const BundleCatalog::Identity identity,
                              subject_.catalog->Identify(places[place].layer, places[place].group));
      group.sha256 = identity.sha256;
      group.bytes = identity.bytes;
      ++place;
    }
    subject_.catalog->ReleaseLayer(share.layer);
    if (hooks_.stopped()) return absl::AbortedError("stopped");
  }
  return shard;
}

absl::Status PlanPreparer::LoadLocal(ActivePlan& plan, const ActivePlan* former) {
  LocalShard& shard = *plan.local;
  if (former != nullptr) shard.Adopt(*former->local);
  HEARTH_RETURN_IF_ERROR(shard.Check());
  uint64_t missing = 0;
  for (const PlacedGroup* group : shard.missing()) missing += group->bytes;
  const uint64_t free = ReadProcessLimits().memory_free_bytes;
  if (former != nullptr && !former->broken && missing + kMemoryMargin > free) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "keeps plan ", former->epoch, ": another one would need ", placement::FormatBytes(missing),
        " of memory beside it and ", placement::FormatBytes(free),
        " are free; unload the model and load it again to use the hosts that have joined"));
  }
  ThreadPool pool(ThreadPool::AvailableCores());
  uint32_t last_layer = 0;
  const auto source = [&](const ShardLayer& share, const PlacedGroup& group) {
    if (share.layer != last_layer) subject_.catalog->ReleaseLayer(last_layer);
    last_layer = share.layer;
    return subject_.catalog->Weights(share.layer, GroupNumber(*subject_.outline, share.layer, group.group));
  };
  const absl::Status loaded = shard.Load(source, pool, [&](uint64_t bytes) {
    hooks_.progress("reading weights", bytes, subject_.group_bytes);
    return StillPossible(plan) ? absl::OkStatus() : absl::AbortedError("a host was lost meanwhile");
  });
  subject_.catalog->ReleaseLayer(last_layer);
  HEARTH_RETURN_IF_ERROR(subject_.catalog->CheckUnchanged());
  return loaded;
}

// Whether all hosts of a plan in preparation are still there.
bool PlanPreparer::StillPossible(const ActivePlan& plan) const {
  if (hooks_.stopped()) return false;
  return std::all_of(plan.remotes.begin(), plan.remotes.end(), [&](const ActivePlan::Remote& remote) {
    const std::optional<Roster::Host> host = roster_.Find(remote.session);
    return host && host->state == HostState::kAlive;
  });
}

absl::Status PlanPreparer::AwaitWorkers(const ActivePlan& plan) {
  for (;;) {
    uint64_t done = plan.local->description().bytes();
    std::string waiting_for;
    for (const ActivePlan::Remote& remote : plan.remotes) {
      const std::optional<Roster::Host> host = roster_.Find(remote.session);
      if (hooks_.stopped() || !host || host->state != HostState::kAlive) {
        return absl::AbortedError(absl::StrCat("host ", remote.host, " was lost while it got its shard"));
      }
      if (!host->report.problem.empty()) {
        return absl::AbortedError(absl::StrCat("host ", remote.host, " is left out: ", host->report.problem));
      }
      const ShardStatus* shard = host->up_to_date() ? host->Shard(plan.epoch) : nullptr;
      if (shard != nullptr && shard->phase == ShardPhase::kFailed) {
        refused_[remote.session] = shard->detail;
        return absl::AbortedError(
            absl::StrCat("host ", remote.host, " cannot load its shard: ", shard->detail));
      }
      if (shard != nullptr) done += shard->bytes_done;
      if (shard == nullptr || shard->phase != ShardPhase::kReady) waiting_for = remote.host;
    }
    if (waiting_for.empty()) return absl::OkStatus();
    hooks_.progress(absl::StrCat("waiting for the weights of host ", waiting_for), done,
                    subject_.group_bytes);
    hooks_.await_change();
  }
}

absl::Status PlanPreparer::Connect(ActivePlan& plan) {
  for (ActivePlan::Remote& remote : plan.remotes) {
    const std::optional<Roster::Host> host = roster_.Find(remote.session);
    if (!host) return absl::AbortedError(absl::StrCat("host ", remote.host, " was lost"));
    auto socket = OpenTensorConnection(host->tensor_address, host->token, plan.epoch,
                                       FrameSocket::Clock::now() + kConnectTimeout);
    if (!socket.ok()) {
      const std::string reason(socket.status().message());
      roster_.ReportLost(remote.session, reason);
      return absl::AbortedError(reason);
    }
    remote.device = std::make_shared<RemoteDevice>(remote.host, ShapeOf(remote.shard),
                                                   plan.plan.ExpectedLayerUs(), *std::move(socket));
  }
  return absl::OkStatus();
}

}  // namespace hearth
