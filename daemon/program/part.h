#ifndef HEARTH_DAEMON_PROGRAM_PART_H_
#define HEARTH_DAEMON_PROGRAM_PART_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/config.h"
#include "daemon/coordinator_addresses.h"
#include "daemon/program/shared_state.h"
#include "daemon/program/stop_signals.h"
#include "daemon/service_manager.h"
#include "proto/connection_key.h"
#include "proto/hearth/v1/stored.pb.h"

namespace hearth {

// What a daemon is: a coordinator, or the worker of one, for as long as it lives, or until the hosts that
// share its state have another leader.
struct Part {
  Config config;                     // with whom it joins: empty for a coordinator
  ConnectionKey key;                 // a worker's
  SharedState* shared = nullptr;     // null: nobody else leads
  std::shared_ptr<EtcdStore> store;  // of a coordinator that shares
  uint64_t term = 0;                 // of such a coordinator, or of the succession
  v1::Succession succession;         // of a coordinator that does not share
  CoordinatorAddresses join;         // of a worker

  bool shares() const { return shared != nullptr; }
  // Whether the daemon may play another part after this one.
  bool may_change() const { return shares() || !config.standby.empty() || term > 0; }
  bool coordinates() const { return config.join.empty(); }
};

// The settings of a worker that has found its home: whom to call, and where to be called by it.
Config AtHome(Config config, const ConnectionKey& key);

// Is what `part` says until a signal comes, which it returns, or, with 0, until that is over. `given`: the
// settings of the parts to come. `first`: it has just been started.
absl::StatusOr<int> Play(const Part& part, const StopSignals& signals, const ServiceManager& manager,
                         bool first, Config& given);

}  // namespace hearth

#endif  // HEARTH_DAEMON_PROGRAM_PART_H_
