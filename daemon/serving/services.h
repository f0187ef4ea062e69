#ifndef HEARTH_DAEMON_SERVING_SERVICES_H_
#define HEARTH_DAEMON_SERVING_SERVICES_H_

#include <functional>
#include <memory>

#include "daemon/cluster_view.h"
#include "daemon/host_control.h"
#include "daemon/model_host.h"
#include "daemon/scheduling/change_notifier.h"
#include "daemon/scheduling/models_on_demand.h"
#include "daemon/scheduling/scheduler_pool.h"
#include "daemon/state/kept_requests.h"

namespace grpc {
class Service;
}

namespace hearth {

// The gRPC services of proto/hearth/v1, all with the callback API: no RPC holds a thread. What is passed in
// outlives the service. The notifier has to be told of changes of the models and the cluster.

// A stream whose client does not read keeps at most kMaxUnreadTokens in memory: then its sequence is left out
// of steps until the client catches up, and ends with RESOURCE_EXHAUSTED where that takes too long.
inline constexpr size_t kMaxUnreadTokens = 1024;
// Messages of embeddings are the largest that it sends.
inline constexpr int kMaxResponseBytes = 32 << 20;
// Requests with an id are kept in `requests`. Once `leads` (empty: always) says no, streams end where they
// are.
std::unique_ptr<grpc::Service> MakeGenerationService(SchedulerPool& schedulers, ModelsOnDemand& models,
                                                     KeptRequests& requests,
                                                     std::function<bool()> leads = {});

// The services of models.proto and cluster.proto. What is passed outlives them; without `control` no host can
// be paused or woken.
std::unique_ptr<grpc::Service> MakeModelsService(ModelHost& models, const SchedulerPool& schedulers,
                                                 const ModelsOnDemand& on_demand, ChangeNotifier& notifier);
std::unique_ptr<grpc::Service> MakeClusterService(const ClusterView& cluster, HostControl* control,
                                                  ChangeNotifier& notifier);

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_SERVICES_H_
