#ifndef HEARTH_DAEMON_WEIGHTS_SHARD_PUBLISHER_H_
#define HEARTH_DAEMON_WEIGHTS_SHARD_PUBLISHER_H_

#include <cstdint>
#include <memory>

#include "engine/device/host_share.h"
#include "engine/model/led_stage.h"

namespace hearth {

// Whoever computes for the leader with a worker's shares once they are ready. Thread-safe.
class ShardPublisher {
 public:
  virtual ~ShardPublisher() = default;

  // Answers requests of this plan, in place of a former share of the same epoch. `stage` is the one that the
  // host leads; null: none.
  virtual void Publish(uint64_t epoch, std::shared_ptr<HostShare> share, std::shared_ptr<LedStage> stage) = 0;
  // Stops that. The share is let go when its last request has been answered.
  virtual void Withdraw(uint64_t epoch) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_SHARD_PUBLISHER_H_
