#ifndef HEARTH_DAEMON_SCHEDULING_JOB_H_
#define HEARTH_DAEMON_SCHEDULING_JOB_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/steps/scheduler_core.h"

namespace hearth {

// What a scheduler runs: a Generation or an Embedding. Not thread-safe.
class Job {
 public:
  virtual ~Job() = default;

  // What the request is known by, unique in the daemon.
  virtual RequestId id() const = 0;
  // Whether its client does not take what was sent.
  virtual bool Blocked() const { return false; }
  // It has a slot of a model that is ready to compute, which holds the first `cached_tokens` of its tokens
  // already. Once, before anything is computed for it.
  virtual void Start(uint32_t cached_tokens, absl::Time now) = 0;
  // Its last event, one of the two: its time is over or all is done, or something went wrong.
  virtual void End(EndReason reason, absl::Time now) = 0;
  virtual void Fail(const absl::Status& status) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_JOB_H_
