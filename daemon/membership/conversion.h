#ifndef HEARTH_DAEMON_MEMBERSHIP_CONVERSION_H_
#define HEARTH_DAEMON_MEMBERSHIP_CONVERSION_H_

#include "absl/status/statusor.h"
#include "daemon/membership/worker_report.h"
#include "daemon/weights/shard_description.h"
#include "proto/hearth/v1/worker.pb.h"

namespace hearth {

// Between the structs of the cluster half and the messages of worker.proto. What comes from a peer is checked
// here, once: after From... every size, count, index and enum is within its bounds (worker.proto names them),
// so that the rest of the daemon can rely on it. INVALID_ARGUMENT names the field that cannot be.

// What a worker says.
v1::WorkerState ToProto(const WorkerReport& report);
absl::StatusOr<WorkerReport> FromProto(const v1::WorkerState& proto);

// What is wanted of it.
v1::DesiredState ToProto(const DesiredShards& desired);
absl::StatusOr<DesiredShards> FromProto(const v1::DesiredState& proto);

// One of the shards that are wanted.
v1::Shard ToProto(const ShardDescription& shard);
absl::StatusOr<ShardDescription> FromProto(const v1::Shard& proto);

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_CONVERSION_H_
