#ifndef HEARTH_DAEMON_WEIGHTS_WEIGHTS_SERVICE_H_
#define HEARTH_DAEMON_WEIGHTS_WEIGHTS_SERVICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/weights/model_files.h"
#include "daemon/weights/session_token.h"
#include "engine/base/sha256.h"

namespace grpc {
class Service;
}

namespace hearth {

// Finds a bundle of the model with the digest; see BundleCatalog::Find.
using BundleFinder = std::function<absl::StatusOr<std::vector<uint8_t>>(const std::string& model_digest,
                                                                        const Sha256Digest& sha256)>;
// Whether a token is that of a member that is not lost.
using TokenCheck = std::function<bool(const SessionToken& token)>;

// The models that are ready.
using FileLister = std::function<std::vector<ServedFiles>()>;

// The coordinator's end of weights.proto. All functions are called by any thread; `bundles` by the service's
// own, of which there are two: it may read files. The server is shut down before the service goes.
std::unique_ptr<grpc::Service> MakeWeightsService(TokenCheck known, BundleFinder bundles, FileLister files);

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_WEIGHTS_SERVICE_H_
