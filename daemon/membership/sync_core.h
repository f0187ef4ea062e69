#ifndef HEARTH_DAEMON_MEMBERSHIP_SYNC_CORE_H_
#define HEARTH_DAEMON_MEMBERSHIP_SYNC_CORE_H_

#include <chrono>
#include <cstdint>

#include "absl/status/status.h"
#include "daemon/membership/worker_report.h"

namespace hearth {

// What a worker decides about its Synchronize streams: when it calls, when it reports, and when it gives up a
// coordinator that is silent. Pure: no clock, thread or socket; time is passed in. Not thread-safe.
class SyncCore {
 public:
  using Clock = std::chrono::steady_clock;

  // A stream begins, with a report.
  void Begin(Clock::time_point now);
  // The coordinator has answered. Whether it wants something new, which is to be followed.
  bool TakeAnswer(const DesiredShards& desired, Clock::time_point now);
  // UNAVAILABLE when it has been silent for too long: the stream is to be ended.
  absl::Status CheckSilence(Clock::time_point now) const;
  // Whether to report now; `asked`: there is news, the interval need not be over.
  bool ReportIsDue(bool asked, Clock::time_point now) const { return asked || now >= next_report_; }
  // A report was sent, or the former one is still on its way.
  void NoteReport(Clock::time_point now) { next_report_ = now + sync_interval_; }
  Clock::time_point next_report() const { return next_report_; }
  // The stream has ended: how long to wait before the next call.
  std::chrono::milliseconds NextPause();

  // Of what is followed; 0 before the stream's first answer.
  uint64_t revision() const { return revision_; }
  // Whether the coordinator has answered on this stream.
  bool answered() const { return answered_; }

 private:
  std::chrono::milliseconds sync_interval_{250};
  std::chrono::milliseconds lost_after_{1200};
  std::chrono::milliseconds pause_{0};  // the last; 0: the coordinator has answered since
  uint64_t revision_ = 0;
  bool answered_ = false;
  Clock::time_point last_answer_;
  Clock::time_point next_report_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_SYNC_CORE_H_
