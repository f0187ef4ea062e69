#ifndef HEARTH_DAEMON_SERVING_FORWARDING_H_
#define HEARTH_DAEMON_SERVING_FORWARDING_H_

#include <memory>
#include <string>

#include "daemon/coordinator_addresses.h"
#include "daemon/identity/live_key.h"

namespace grpc {
class CallbackGenericService;
}

namespace hearth {

// A call that a worker has passed on carries the worker's name (any bytes) under this key, also so that
// workers which take each other for the coordinator do not forward in circles.
inline constexpr char kForwardedBy[] = "hearth-forwarded-bin";

// Passes every call of the public API that reaches a worker on to its coordinator, byte by byte and with its
// deadline and cancellation: clients may talk to any host. Other methods are UNIMPLEMENTED. UNAVAILABLE names
// the coordinator when it does not answer, or when it turns out to be a worker itself.
// `host` is the worker's name. One that `may_lead` does not tell other workers for good that it is none.
std::unique_ptr<grpc::CallbackGenericService> MakeForwarder(const std::string& host,
                                                            const CoordinatorAddresses& coordinator,
                                                            const LiveKey& key = {}, bool may_lead = false);

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_FORWARDING_H_
