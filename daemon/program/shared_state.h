#ifndef HEARTH_DAEMON_PROGRAM_SHARED_STATE_H_
#define HEARTH_DAEMON_PROGRAM_SHARED_STATE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "daemon/config.h"
#include "daemon/etcd/election.h"
#include "daemon/etcd/etcd_client.h"
#include "daemon/etcd/etcd_store.h"
#include "daemon/etcd/sealer.h"

namespace hearth {

// What the hosts that may lead have in common: the store that --state-store names, and who of them leads.
class SharedState {
 public:
  // Reads the files that the settings name; calls nobody yet. One line says what is wrong with which.
  static absl::StatusOr<std::unique_ptr<SharedState>> Open(const Config& config);

  Election& election() { return election_; }
  // What the coordinator of this term keeps, or, without a term, what others may read of it. Not after this.
  std::shared_ptr<EtcdStore> Store(const Fence& fence);

 private:
  SharedState(const EtcdOptions& options, Sealer sealer, const ElectionOptions& election);

  const Sealer sealer_;
  const std::string prefix_;
  EtcdClient client_;
  Election election_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PROGRAM_SHARED_STATE_H_
