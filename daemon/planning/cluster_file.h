#ifndef HEARTH_DAEMON_PLANNING_CLUSTER_FILE_H_
#define HEARTH_DAEMON_PLANNING_CLUSTER_FILE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "placement/cluster.h"

namespace hearth {

// A cluster described as JSON, for planning without machines:
//
//   {"leader": "a",
//    "hosts": [
//      {"name": "a",
//       "devices": [{"name": "gpu", "kind": "gpu", "memory": "8GiB", "read_bytes_per_s": 9e11,
//                    "operations_per_s": 4e13, "dispatch_us": 10},
//                   {"name": "cpu", "kind": "cpu", "memory": 34359738368, "read_bytes_per_s": 4e10,
//                    "operations_per_s": 1e12}]},
//      {"name": "b",
//       "devices": [{"name": "cpu", "kind": "cpu", "memory": "16GiB", "read_bytes_per_s": 3e10,
//                    "operations_per_s": 8e11}],
//       "link": {"round_trip_us": 180, "bytes_per_s": 1.17e8}}]}
//
// "leader" may be left out (the first host leads), so may "dispatch_us" (0); every host but the leader has a
// "link" to it. "memory" is a number of bytes or a text as ParseByteCount reads it. Fields that are not
// listed here are refused, so that a misspelt one is not silently ignored.
//
// INVALID_ARGUMENT that says where in the document what is wrong; see also placement::ValidateCluster.
absl::StatusOr<placement::Cluster> ParseClusterJson(std::string_view text);

// The same for a file. NOT_FOUND or INVALID_ARGUMENT with the path in the message.
absl::StatusOr<placement::Cluster> ReadClusterFile(const std::string& path);

// The document that ParseClusterJson reads back to the same cluster.
std::string ClusterToJson(const placement::Cluster& cluster);

// The schema above as text for --help.
std::string_view ClusterFileHelp();

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_CLUSTER_FILE_H_
