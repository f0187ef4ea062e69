#ifndef HEARTH_CLIENT_SERVERS_H_
#define HEARTH_CLIENT_SERVERS_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"
#include "proto/connection_key.h"
#include "proto/hearth/v1/cluster.grpc.pb.h"
#include "proto/hearth/v1/generation.grpc.pb.h"
#include "proto/hearth/v1/home.grpc.pb.h"
#include "proto/hearth/v1/models.grpc.pb.h"
#include "proto/hearth/v1/standby.grpc.pb.h"

namespace hearth {

// A host that is called.
struct CalledServer {
  CalledServer(const std::string& address, const ConnectionKey& key);

  const std::string name;  // HOST:PORT
  const std::shared_ptr<grpc::Channel> channel;
  v1::Generation::Stub generation{channel};
  v1::Models::Stub models{channel};
  v1::Cluster::Stub cluster{channel};
  v1::Home::Stub home{channel};
  v1::Standby::Stub standby{channel};
};

// The hosts of one cluster that a client may call, of which it uses one at a time. Thread-safe.
class Servers {
 public:
  // `list`: HOST:PORT, or several with commas between them.
  Servers(const std::string& list, const ConnectionKey& key);

  // The one in use; where there are several and it cannot be reached, another one that can, if there is.
  CalledServer& Reachable();
  CalledServer& current() const;
  bool several() const { return servers_.size() > 1; }
  // It is of no use: from now on the next one is, unless that was decided already.
  void PassOver(const CalledServer& server);
  // Waits until one can be reached, `each` long with each. False where none can.
  bool AwaitReachable(absl::Duration each);

 private:
  std::vector<std::unique_ptr<CalledServer>> servers_;  // at least one
  mutable Mutex mutex_;
  size_t used_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace hearth

#endif  // HEARTH_CLIENT_SERVERS_H_
