#include "daemon/cluster/loss_backoff.h"

#include <algorithm>

namespace hearth {
namespace {

constexpr absl::Duration kFirstPause = absl::Seconds(2);
constexpr absl::Duration kLongestPause = absl::Minutes(5);
constexpr absl::Duration kForgetAfter = absl::Minutes(10);

}  // namespace

void LossBackoff::NoteLoss(const std::string& host, absl::Time now) {
  Record& record = records_[host];
  if (now - record.last > kForgetAfter) record = {};
  record.last = now;
  if (record.losses++ == 0) return;
  const int doublings = std::min(record.losses - 2, 10);
  record.usable_from = now + std::min(kFirstPause * (1 << doublings), kLongestPause);
}

absl::Time LossBackoff::UsableFrom(const std::string& host) const {
  const auto found = records_.find(host);
  return found == records_.end() ? absl::InfinitePast() : found->second.usable_from;
}

}  // namespace hearth
