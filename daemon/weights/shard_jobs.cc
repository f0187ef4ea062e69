#include "daemon/weights/shard_jobs.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

// Memory that is left alone.
constexpr uint64_t kMemoryMargin = uint64_t{64} << 20;
constexpr std::chrono::milliseconds kFetchAgain{500};
constexpr std::chrono::milliseconds kFailedAgain{5000};

}  // namespace

ShardFailure JudgeShardFailure(const absl::Status& status) {
  const bool disk_is_full = absl::IsFailedPrecondition(status);
  const bool passes = disk_is_full || absl::IsUnavailable(status) || absl::IsDataLoss(status) ||
                      absl::IsNotFound(status) || absl::IsPermissionDenied(status) ||
                      absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
  if (passes) return {ShardPhase::kFetching, kFetchAgain, disk_is_full};
  return {ShardPhase::kFailed, kFailedAgain, false};
}

uint64_t ShortBytes(uint64_t missing, uint64_t free) {
  const uint64_t usable = free - std::min(free, kMemoryMargin);
  return missing - std::min(missing, usable);
}

absl::Status CheckRoom(uint64_t missing, uint64_t free) {
  if (ShortBytes(missing, free) == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("its shard needs ", missing, " bytes of memory more, and of the ", free,
                   " bytes that are free ", kMemoryMargin, " are to stay so"));
}

}  // namespace hearth
