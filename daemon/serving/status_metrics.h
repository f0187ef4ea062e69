#ifndef HEARTH_DAEMON_SERVING_STATUS_METRICS_H_
#define HEARTH_DAEMON_SERVING_STATUS_METRICS_H_

#include <prometheus/collectable.h>

#include <memory>

#include "daemon/cluster_view.h"
#include "daemon/scheduling/scheduler_pool.h"

namespace hearth {

// The state that `hearth status` and `hearth plan` show, as figures for /metrics; read when it is asked for.

// Queue, running requests and KV cache of every model that has answered a request.
std::shared_ptr<prometheus::Collectable> MakeSchedulerMetrics(std::shared_ptr<SchedulerPool> schedulers);
// Hosts, devices, links, and what each device holds and has computed of each model. `cluster` outlives it.
std::shared_ptr<prometheus::Collectable> MakeClusterMetrics(const ClusterView& cluster);

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_STATUS_METRICS_H_
