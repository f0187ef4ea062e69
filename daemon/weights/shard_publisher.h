#ifndef HEARTH_DAEMON_WEIGHTS_SHARD_PUBLISHER_H_
#define HEARTH_DAEMON_WEIGHTS_SHARD_PUBLISHER_H_

#include <cstdint>
#include <memory>

#include "daemon/weights/local_shard.h"

namespace hearth {

// Whoever computes for the leader with a worker's shards once they are ready. Thread-safe.
class ShardPublisher {
 public:
  virtual ~ShardPublisher() = default;

  // Answers for this shard's epoch, in place of a former shard of the same epoch.
  virtual void Publish(std::shared_ptr<LocalShard> shard) = 0;
  // Stops that. The shard is let go when its last request has been answered.
  virtual void Withdraw(uint64_t epoch) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_SHARD_PUBLISHER_H_
