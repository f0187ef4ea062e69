#ifndef HEARTH_DAEMON_WEIGHTS_WEIGHTS_CLIENT_H_
#define HEARTH_DAEMON_WEIGHTS_WEIGHTS_CLIENT_H_

#include <memory>
#include <string>

#include "daemon/coordinator_addresses.h"
#include "daemon/identity/live_key.h"
#include "daemon/weights/bundle_source.h"
#include "daemon/weights/model_file_source.h"

namespace hearth {

// The bundles of the coordinator (weights.proto), over a connection of their own, so that they
// do not hold up what else the two say to each other; connects when it is first needed, and again whenever
// the connection is lost. Encrypted where there is a key.
std::unique_ptr<BundleSource> MakeWeightsClient(const CoordinatorAddresses& coordinator,
                                                const LiveKey& key = {});

// The files of its models, likewise over one of their own.
std::unique_ptr<ModelFileSource> MakeFilesClient(const CoordinatorAddresses& coordinator,
                                                 const LiveKey& key = {});

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_WEIGHTS_CLIENT_H_
