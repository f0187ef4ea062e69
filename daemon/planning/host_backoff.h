#ifndef HEARTH_DAEMON_PLANNING_HOST_BACKOFF_H_
#define HEARTH_DAEMON_PLANNING_HOST_BACKOFF_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace hearth {

// Leaves hosts out of plans for a time: those that are lost in the middle of a step again and again, for
// example because they answer syncs and never a request, since each loss costs every stream the time until it
// is noticed; and those that could not load their share. The first loss is forgiven; after that, and from the
// first failed load on, a host sits out 2 s, 4 s, 8 s, ... up to 5 minutes. Ten minutes without either clear
// its record, and a new session a failed load. Pure: time is passed in. Not thread-safe.
class HostBackoff {
 public:
  // The host was lost at `now`.
  void NoteLoss(const std::string& host, absl::Time now);
  // It could not load its share, for that reason.
  void NoteFailedLoad(const std::string& host, uint64_t session, const std::string& reason, absl::Time now);
  // From when on the host may be in plans: a time in the past for most.
  absl::Time UsableFrom(const std::string& host, uint64_t session) const;
  // Why it sits out, for people; empty where it has no record.
  std::string Reason(const std::string& host) const;

 private:
  struct Record {
    int failures = 0;
    absl::Time last;
    absl::Time usable_from = absl::InfinitePast();
    std::optional<uint64_t> session;  // that a failed load is of; nullopt: a loss
    std::string reason;
  };

  Record& RecordOf(const std::string& host, absl::Time now);
  static void Pause(Record& record, absl::Time now);

  std::map<std::string, Record> records_;  // by host; as many as membership admits
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_HOST_BACKOFF_H_
