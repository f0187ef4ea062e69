#ifndef HEARTH_DAEMON_NODE_OPTIONS_H_
#define HEARTH_DAEMON_NODE_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/capacity/device_option.h"
#include "daemon/capacity/yielding.h"
#include "daemon/coordinator_addresses.h"
#include "daemon/identity/kept_hosts.h"
#include "daemon/identity/live_key.h"
#include "daemon/network_card.h"
#include "engine/base/process_limits.h"
#include "engine/kernel/attention.h"
#include "engine/kernel/matrix.h"
#include "engine/neuron/ffn_spec.h"
#include "placement/objective.h"

namespace hearth {

// What the cluster half of the daemon needs to know.
struct NodeOptions {
  std::string name;        // of this host, unique in the cluster
  std::string state_dir;   // exists and is writable; the node keeps its identity in it
  std::string cache_dir;   // of fetched weights; empty: "cache" in state_dir
  std::string copies_dir;  // of copies of other hosts' models (weights/model_copies); empty: there are none
  bool may_lead = false;   // a worker that keeps such copies for the day on which it leads
  CoordinatorAddresses join;  // of the coordinator; empty: this host is it
  std::string told_file;      // in which a worker keeps where others may lead; empty: it is told by the store
  std::function<PlacesToLead()> places_to_lead;  // a coordinator's, which tells its workers; null: only here
  uint64_t term = 0;  // of a coordinator: above those of all before it, where they share a store
  LiveKey key;        // of this host in its home; empty: connections are plain
  std::string tensor_listen = "127.0.0.1:0";  // HOST:PORT of a worker's tensor channel
  std::string version;                        // of this daemon

  // By what a worker's machine can be woken, which it tells; null: it does not.
  std::function<std::vector<NetworkCard>()> network_cards;
  // A coordinator's, which wakes machines by these cards and returns the networks' addresses; null: it
  // cannot.
  std::function<absl::StatusOr<std::vector<std::string>>(const std::vector<MacAddress>&)> wake;
  bool wake_for_models = true;  // a coordinator wakes by itself the hosts without which a model does not fit
  std::shared_ptr<KeptHosts> kept_hosts;  // in which it keeps whom it can wake; null: nowhere

  std::vector<DeviceOption> devices;  // empty: one CPU device with all cores
  uint32_t threads = 0;               // of all CPU devices together; 0: one per core
  YieldOptions yield;
  uint64_t cache_bytes = 0;  // most bytes of fetched weights kept on disk; 0: half of what the disk has free

  // How models are loaded; of no meaning for a worker.
  // Positions per sequence, at most what the model was made for, and sequences at the same time; nullopt:
  // what fits (cluster/cache_size).
  std::optional<uint32_t> context_length;
  std::optional<uint32_t> slots;
  uint32_t max_rows = 512;  // rows of one step
  KvType kv_type = KvType::kF16;
  Arithmetic arithmetic = Arithmetic::kFast;
  std::optional<SparsityMode> sparsity;  // nullopt: the best that the file allows
  placement::Objective objective;        // of plans, where a model has none of its own
  bool use_every_host = false;           // gives every host a share even where that is slower
  uint32_t stages = 1;                   // hosts that lead consecutive layers each
  bool keep_attention = false;           // gives other hosts neurons only
  // Bytes that this process may still take for the leader's weights.
  std::function<uint64_t()> free_memory = [] { return ReadProcessLimits().memory_free_bytes; };

  std::string digests_dir() const { return state_dir + "/digests"; }  // of model files (weights/model_file)
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_NODE_OPTIONS_H_
