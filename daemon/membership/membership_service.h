#ifndef HEARTH_DAEMON_MEMBERSHIP_MEMBERSHIP_SERVICE_H_
#define HEARTH_DAEMON_MEMBERSHIP_MEMBERSHIP_SERVICE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/membership/roster.h"
#include "daemon/weights/sha256.h"

namespace grpc {
class Service;
}

namespace hearth {

// Finds a bundle of the model with the digest; see BundleCatalog::Find.
using BundleFinder = std::function<absl::StatusOr<std::vector<uint8_t>>(const std::string& model_digest,
                                                                        const Sha256Digest& sha256)>;

// The coordinator's end of worker.proto: hands what workers send to the roster and what it wants to the
// workers, and serves bundles. `roster` outlives the service; Roster::Stop ends its Synchronize streams.
std::unique_ptr<grpc::Service> MakeMembershipService(Roster& roster, BundleFinder bundles);

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_MEMBERSHIP_SERVICE_H_
