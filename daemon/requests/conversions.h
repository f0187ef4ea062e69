#ifndef HEARTH_DAEMON_REQUESTS_CONVERSIONS_H_
#define HEARTH_DAEMON_REQUESTS_CONVERSIONS_H_

#include <optional>

#include "absl/status/status.h"
#include "daemon/cluster_view.h"
#include "daemon/host_control.h"
#include "daemon/model_host.h"
#include "daemon/scheduling/generation.h"
#include "proto/hearth/v1/cluster.pb.h"
#include "proto/hearth/v1/generation.pb.h"
#include "proto/hearth/v1/models.pb.h"

namespace grpc {
class Status;
}

namespace hearth {

// The one place where the daemon's structs become messages of the public API.

// Structs as messages of the API.
v1::ModelStatus ToProto(const ModelInfo& model);
v1::PlanStatus ToProto(const PlanView& plan);
v1::ClusterStatus ToProto(const ClusterSnapshot& cluster);
v1::WakeResponse ToProto(const WokenHosts& woken);
v1::ExpectedPlan ToProto(const ExpectedPlan& plan);
v1::Delta ToProto(GenerationDelta delta);
v1::Finished ToProto(const GenerationSummary& summary);
v1::Pooling ToProto(Pooling pooling);
// A message of the API as the engine has it; nothing for one that is not known.
std::optional<Pooling> FromProto(v1::Pooling pooling);
ModelFigures FromProto(const v1::ModelFigures& figures);

}  // namespace hearth

#endif  // HEARTH_DAEMON_REQUESTS_CONVERSIONS_H_
