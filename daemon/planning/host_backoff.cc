#include "daemon/planning/host_backoff.h"

#include <algorithm>

namespace hearth {
namespace {

constexpr absl::Duration kFirstPause = absl::Seconds(2);
constexpr absl::Duration kLongestPause = absl::Minutes(5);
constexpr absl::Duration kForgetAfter = absl::Minutes(10);

}  // namespace

HostBackoff::Record& HostBackoff::RecordOf(const std::string& host, absl::Time now) {
  Record& record = records_[host];
  if (now - record.last > kForgetAfter) record = {};
  record.last = now;
  return record;
}

// Doubles the pause with every failure after the first.
void HostBackoff::Pause(Record& record, absl::Time now) {
  const int doublings = std::min(record.failures - 2, 10);
  record.usable_from = now + std::min(kFirstPause * (1 << doublings), kLongestPause);
}

void HostBackoff::NoteLoss(const std::string& host, absl::Time now) {
  Record& record = RecordOf(host, now);
  record.session.reset();
  record.reason = "it was lost again and again";
  if (++record.failures > 1) Pause(record, now);
}

void HostBackoff::NoteFailedLoad(const std::string& host, uint64_t session, const std::string& reason,
                                 absl::Time now) {
  Record& record = RecordOf(host, now);
  record.session = session;
  record.reason = reason;
  record.failures = std::max(record.failures + 1, 2);
  Pause(record, now);
}

absl::Time HostBackoff::UsableFrom(const std::string& host, uint64_t session) const {
  const auto found = records_.find(host);
  if (found == records_.end()) return absl::InfinitePast();
  const Record& record = found->second;
  return record.session.value_or(session) == session ? record.usable_from : absl::InfinitePast();
}

std::string HostBackoff::Reason(const std::string& host) const {
  const auto found = records_.find(host);
  return found == records_.end() ? "" : found->second.reason;
}

}  // namespace hearth
