#ifndef HEARTH_DAEMON_MEMBERSHIP_COORDINATOR_CLIENT_H_
#define HEARTH_DAEMON_MEMBERSHIP_COORDINATOR_CLIENT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/membership/worker_report.h"
#include "proto/connection_key.h"

namespace hearth {

// A Synchronize stream as the worker sees it. Its functions are called by one thread.
class SyncCall {
 public:
  // Cancels the stream if it has not ended and waits for its end.
  virtual ~SyncCall() = default;
  // Sends a report; false (and nothing is sent) while the last one is still on its way.
  virtual bool Send(const WorkerReport& report) = 0;
  // The newest answer since the last call. INVALID_ARGUMENT when it makes no sense, or the status with which
  // the stream has ended (UNAVAILABLE where the coordinator ended it without an error).
  virtual absl::StatusOr<std::optional<DesiredShards>> Take() = 0;
};

// How a worker speaks with its coordinator (worker.proto). Thread-safe.
class CoordinatorClient {
 public:
  // `address` is HOST:PORT; connecting happens when it is first needed, and again whenever it is lost, and is
  // encrypted where there is a key.
  static std::unique_ptr<CoordinatorClient> Create(const std::string& address, const ConnectionKey& key = {});
  virtual ~CoordinatorClient() = default;

  // `wake` is called from any thread when Send or Take have something new; not after the call's destruction.
  virtual std::unique_ptr<SyncCall> Synchronize(std::function<void()> wake) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_COORDINATOR_CLIENT_H_
