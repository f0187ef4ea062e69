#include "daemon/serving/status_metrics.h"

#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/printable.h"

namespace hearth {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

constexpr double kMicrosecond = 1e-6;
constexpr double kMillisecond = 1e-3;

// Families of metrics as they are filled, in the order in which they were first named.
class Families {
 public:
  void Gauge(const char* name, const char* help, Labels labels, double value) {
    ClientMetric& metric = Add(name, help, MetricType::Gauge, std::move(labels));
    metric.gauge.value = value;
  }
  void Counter(const char* name, const char* help, Labels labels, double value) {
    ClientMetric& metric = Add(name, help, MetricType::Counter, std::move(labels));
    metric.counter.value = value;
  }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  ClientMetric& Add(const char* name, const char* help, MetricType type, Labels labels) {
    for (ClientMetric::Label& label : labels) label.value = Printable(label.value);
    for (MetricFamily& family : families_) {
      if (family.name == name) return AddTo(family, std::move(labels));
    }
    families_.push_back({name, help, type, {}});
    return AddTo(families_.back(), std::move(labels));
  }
  static ClientMetric& AddTo(MetricFamily& family, Labels labels) {
    family.metric.emplace_back().label = std::move(labels);
    return family.metric.back();
  }

  std::vector<MetricFamily> families_;
};

double Sum(const std::vector<uint64_t>& by_layer) {
  return static_cast<double>(std::accumulate(by_layer.begin(), by_layer.end(), uint64_t{0}));
}

void AddHost(const HostView& host, Families& to) {
  const Labels labels = {{"host", host.name}};
  to.Gauge("hearth_host_alive", "1 for a host that answers, 0 for one that joins or is lost", labels,
           host.state == HostState::kAlive ? 1 : 0);
  to.Gauge("hearth_host_memory_bytes", "Memory of a host", labels, static_cast<double>(host.memory_bytes));
  to.Gauge("hearth_host_memory_free_bytes", "Of it, free", labels,
           static_cast<double>(host.memory_free_bytes));
  to.Gauge("hearth_host_last_sync_seconds", "Since a host's last sign of life; 0 for the coordinator", labels,
           static_cast<double>(host.last_sync_ms) * kMillisecond);
  to.Counter("hearth_host_losses_total", "How often a host was lost since the coordinator started", labels,
             host.losses);
  to.Counter("hearth_host_groups_from_cache_total",
             "Bundles of weights that a host's daemon found in its own cache", labels,
             static_cast<double>(host.groups_from_cache));
  to.Counter("hearth_host_weights_fetched_bytes_total", "Weights that a host's daemon has fetched", labels,
             static_cast<double>(host.weights_fetched_bytes));
  for (const DeviceView& device : host.devices) {
    const Labels of_device = {{"host", host.name}, {"device", device.name}, {"kind", device.kind}};
    to.Gauge("hearth_device_memory_budget_bytes", "What a device offers for weights and caches", of_device,
             static_cast<double>(device.memory_budget_bytes));
    to.Gauge("hearth_device_memory_used_bytes", "Of it, used", of_device,
             static_cast<double>(device.memory_used_bytes));
    to.Gauge("hearth_device_read_bytes_per_second", "How fast a device was measured to read its memory",
             of_device, device.read_bytes_per_second);
    to.Gauge("hearth_device_operations_per_second", "How fast a device was measured to multiply", of_device,
             device.operations_per_second);
  }
}

void AddLink(const LinkView& link, Families& to) {
  const Labels labels = {{"from", link.from}, {"to", link.to}};
  to.Gauge("hearth_link_round_trip_seconds", "A small message there and back, as measured", labels,
           link.round_trip_us * kMicrosecond);
  to.Gauge("hearth_link_bytes_per_second", "Bandwidth of a link, as measured", labels, link.bytes_per_second);
}

void AddTransfer(const TransferView& transfer, Families& to) {
  const Labels labels = {{"host", transfer.host}, {"model", transfer.model}};
  to.Gauge("hearth_transfer_bytes", "Weights that a host is getting", labels,
           static_cast<double>(transfer.bytes_total));
  to.Gauge("hearth_transfer_done_bytes", "Of them, those that it has", labels,
           static_cast<double>(transfer.bytes_done));
}

void AddDisk(const DiskCounters& disk, const Labels& labels, Families& to) {
  to.Counter("hearth_disk_hits_total", "Neurons on the disk that were wanted and in memory", labels,
             static_cast<double>(disk.hits));
  to.Counter("hearth_disk_misses_total", "Neurons that were wanted and had to be read from the disk", labels,
             static_cast<double>(disk.misses));
  to.Counter("hearth_disk_evictions_total", "Neurons that have given way to others in memory", labels,
             static_cast<double>(disk.evictions));
  to.Counter("hearth_disk_read_bytes_total", "Bytes read from the disk while computing", labels,
             static_cast<double>(disk.bytes_read));
  to.Counter("hearth_disk_wait_seconds_total", "Time that computing has waited for the disk", labels,
             static_cast<double>(disk.wait_us) * kMicrosecond);
  to.Gauge("hearth_disk_memory_bytes", "Memory that neurons of the disk and their buffers take", labels,
           static_cast<double>(disk.memory_bytes));
}

void AddShare(const PlanView& plan, const DeviceShareView& share, Families& to) {
  const Labels labels = {{"model", plan.model}, {"host", share.host}, {"device", share.device}};
  to.Gauge("hearth_share_weight_bytes", "Weights that a device holds of a model", labels,
           static_cast<double>(share.weight_bytes));
  to.Counter("hearth_share_neurons_computed_total", "Neurons computed for tokens under the plan in use",
             labels, Sum(share.neurons_computed));
  to.Counter("hearth_share_neurons_offered_total", "Neurons held, for the same tokens", labels,
             Sum(share.neurons_offered));
  to.Counter("hearth_share_bytes_touched_total", "Bytes of weights read under the plan in use", labels,
             static_cast<double>(share.bytes_touched));
  to.Counter("hearth_share_round_trips_total", "Requests to the device under the plan in use", labels,
             static_cast<double>(share.round_trips));
  to.Counter("hearth_share_wait_seconds_total", "Time that the leader has waited for the device", labels,
             static_cast<double>(share.wait_us) * kMicrosecond);
  if (share.disk.memory_bytes > 0) AddDisk(share.disk, labels, to);
}

void AddPlan(const PlanView& plan, Families& to) {
  const Labels labels = {{"model", plan.model}};
  to.Gauge("hearth_plan_epoch", "Number of the plan of a model", labels, static_cast<double>(plan.epoch));
  to.Gauge("hearth_plan_active", "1 when every device holds its shards and the plan is in use", labels,
           plan.active ? 1 : 0);
  to.Gauge("hearth_plan_expected_token_seconds", "What the plan expects a token to take", labels,
           plan.expected_token_ms / 1000);
  to.Gauge("hearth_plan_measured_token_seconds",
           "What tokens of single streams take, the median; 0: not yet known", labels,
           plan.measured_token_ms / 1000);
  const Labels made_for = {{"model", plan.model}, {"objective", placement::ObjectiveText(plan.objective)}};
  to.Gauge(
      "hearth_plan_expected_tokens_per_second",
      "What the plan expects of steps for its objective: of all their streams together, or read of a prompt",
      made_for, plan.expected_tokens_per_second);
  to.Gauge("hearth_plan_measured_tokens_per_second", "What such steps give, the median; 0: not yet known",
           made_for, plan.measured_tokens_per_second);
  for (const DeviceShareView& share : plan.shares) AddShare(plan, share, to);
}

class ClusterMetrics final : public prometheus::Collectable {
 public:
  explicit ClusterMetrics(const ClusterView& cluster) : cluster_(cluster) {}

  std::vector<MetricFamily> Collect() const override {
    const ClusterSnapshot snapshot = cluster_.Snapshot();
    Families families;
    for (const HostView& host : snapshot.hosts) AddHost(host, families);
    for (const LinkView& link : snapshot.links) AddLink(link, families);
    for (const TransferView& transfer : snapshot.transfers) AddTransfer(transfer, families);
    for (const PlanView& plan : snapshot.plans) AddPlan(plan, families);
    return families.Take();
  }

 private:
  const ClusterView& cluster_;
};

class SchedulerMetrics final : public prometheus::Collectable {
 public:
  explicit SchedulerMetrics(std::shared_ptr<SchedulerPool> schedulers) : schedulers_(std::move(schedulers)) {}

  std::vector<MetricFamily> Collect() const override {
    Families families;
    for (const auto& scheduler : schedulers_->All()) {
      const Labels labels = {{"model", scheduler->model().name()}};
      const Scheduler::Usage usage = scheduler->usage();
      families.Gauge("hearth_requests_waiting", "Requests that wait for a slot", labels, usage.waiting);
      families.Gauge("hearth_requests_running", "Requests that have a slot", labels, usage.running);
      families.Gauge("hearth_kv_positions", "Positions of the KV cache in use", labels,
                     static_cast<double>(usage.kv_positions));
      families.Gauge("hearth_kv_positions_limit", "Positions that the KV cache has room for", labels,
                     static_cast<double>(usage.kv_positions_limit));
      families.Counter("hearth_drafted_tokens_total", "Tokens that were guessed and computed ahead", labels,
                       static_cast<double>(usage.drafted.tokens));
      families.Counter("hearth_accepted_draft_tokens_total", "Of them, those that were right", labels,
                       static_cast<double>(usage.drafted.right));
    }
    return families.Take();
  }

 private:
  const std::shared_ptr<SchedulerPool> schedulers_;
};

}  // namespace

std::shared_ptr<prometheus::Collectable> MakeSchedulerMetrics(std::shared_ptr<SchedulerPool> schedulers) {
  return std::make_shared<SchedulerMetrics>(std::move(schedulers));
}

std::shared_ptr<prometheus::Collectable> MakeClusterMetrics(const ClusterView& cluster) {
  return std::make_shared<ClusterMetrics>(cluster);
}

}  // namespace hearth
