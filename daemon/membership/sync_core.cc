#include "daemon/membership/sync_core.h"

#include <algorithm>

namespace hearth {
namespace {

constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{1000};
// Before the first answer a connection may still have to be made.
constexpr std::chrono::milliseconds kFirstAnswer{3000};

}  // namespace

void SyncCore::Begin(Clock::time_point now) {
  revision_ = 0;
  answered_ = false;
  last_answer_ = next_report_ = now;
}

bool SyncCore::TakeAnswer(const DesiredShards& desired, Clock::time_point now) {
  answered_ = true;
  last_answer_ = now;
  sync_interval_ = std::chrono::milliseconds(desired.sync_interval_ms);
  lost_after_ = std::chrono::milliseconds(desired.lost_after_ms);
  if (!desired.unchanged) revision_ = desired.revision;
  return !desired.unchanged;
}

absl::Status SyncCore::CheckSilence(Clock::time_point now) const {
  if (now - last_answer_ <= (answered_ ? lost_after_ : kFirstAnswer)) return absl::OkStatus();
  return absl::UnavailableError("no answer");
}

std::chrono::milliseconds SyncCore::NextPause() {
  pause_ = answered_ ? kFirstPause : std::clamp(2 * pause_, kFirstPause * 2, kLongestPause);
  return pause_;
}

}  // namespace hearth
