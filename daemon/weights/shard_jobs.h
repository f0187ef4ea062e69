#ifndef HEARTH_DAEMON_WEIGHTS_SHARD_JOBS_H_
#define HEARTH_DAEMON_WEIGHTS_SHARD_JOBS_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "daemon/weights/session_token.h"
#include "daemon/weights/shard_description.h"
#include "daemon/weights/shard_status.h"

namespace hearth {

// What follows for a shard from an error.
struct ShardFailure {
  ShardPhase phase = ShardPhase::kFailed;
  std::chrono::milliseconds again_after{0};
  bool disk_is_full = false;  // or takes no more for another reason, whatever is wanted
};
// Errors that pass by themselves leave the shard on its way: a disk that is full, a coordinator that is gone
// for the moment, bytes that were damaged on their way.
ShardFailure JudgeShardFailure(const absl::Status& status);

// Bytes that have to become free before what is missing of a shard has room beside what is held: budgets are
// for one plan, and while plans change there are two. `free`: bytes that the process may still take.
uint64_t ShortBytes(uint64_t missing, uint64_t free);
// RESOURCE_EXHAUSTED with the figures where that is not 0.
absl::Status CheckRoom(uint64_t missing, uint64_t free);

// A wanted shard on its way to being `Held`.
template <class Held>
struct ShardJob {
  ShardDescription description;
  ShardStatus status;
  std::chrono::steady_clock::time_point not_before;  // when to try again after a failure
  bool ready = false;
  Held held;
};

// The shards that a worker is to have, by epoch, and how far it is with each. A value: no clock or thread.
template <class Held>
class ShardJobs {
 public:
  using Job = ShardJob<Held>;

  // Those of another desired state: what it wants of these goes on, the rest is new and holds nothing yet. In
  // another session epochs mean something else, and nothing goes on.
  ShardJobs Follow(const SessionToken& token, const std::vector<ShardDescription>& shards) const {
    ShardJobs next;
    next.token_ = token;
    for (const ShardDescription& shard : shards) {
      const auto known = jobs_.find(shard.epoch);
      Job& job = next.jobs_[shard.epoch];
      if (token == token_ && known != jobs_.end()) {
        job = known->second;
        continue;
      }
      job.description = shard;
      job.status.epoch = shard.epoch;
      job.status.model = shard.model;
      job.status.bytes_total = shard.bytes();
    }
    return next;
  }

  // Epochs that do not go on in `next`.
  std::vector<uint64_t> EndedIn(const ShardJobs& next) const {
    std::vector<uint64_t> ended;
    for (const auto& [epoch, job] : jobs_) {
      if (token_ != next.token_ || !next.jobs_.contains(epoch)) ended.push_back(epoch);
    }
    return ended;
  }

  // The job to work on next: of those that are not ready the one that may be tried first. Null: none.
  Job* Next() {
    Job* next = nullptr;
    for (auto& [epoch, job] : jobs_) {
      if (!job.ready && (next == nullptr || job.not_before < next->not_before)) next = &job;
    }
    return next;
  }

  std::map<uint64_t, Job>& all() { return jobs_; }
  const std::map<uint64_t, Job>& all() const { return jobs_; }
  // Of the session that the shards are wanted in.
  const SessionToken& token() const { return token_; }

 private:
  SessionToken token_{};
  std::map<uint64_t, Job> jobs_;  // by epoch
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_SHARD_JOBS_H_
