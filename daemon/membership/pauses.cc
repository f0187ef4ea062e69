#include "daemon/membership/pauses.h"

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/identity/host_id.h"
#include "engine/base/input_file.h"
#include "engine/base/output_file.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr char kForever[] = "resumed";

// "ID UNTIL", seconds since 1970 or `resumed`.
std::optional<std::pair<std::string, absl::Time>> ParsePause(absl::string_view line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  if (words.size() != 2 || !ParseHostId(words[0]).ok()) return std::nullopt;
  if (words[1] == kForever) return std::pair(words[0], absl::InfiniteFuture());
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(words[1], &seconds)) return std::nullopt;
  return std::pair(words[0], absl::FromUnixSeconds(seconds));
}

}  // namespace

std::string PauseReason(absl::Time until) {
  if (until == absl::InfiniteFuture()) return "it is paused until `hearth resume`";
  return absl::StrCat("it is paused until ",
                      absl::FormatTime("%Y-%m-%d %H:%M:%S", until, absl::LocalTimeZone()));
}

absl::StatusOr<Pauses> Pauses::Open(const std::string& state_dir) {
  Pauses pauses(state_dir + "/paused_hosts");
  std::error_code error;
  if (!std::filesystem::exists(pauses.path_, error)) return pauses;
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadInputFile(pauses.path_, kMaxFileBytes));
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const auto pause = ParsePause(line);
    if (!pause) {
      return absl::FailedPreconditionError(absl::StrCat(
          pauses.path_, " is damaged: delete it; the hosts that were paused then take part again"));
    }
    pauses.paused_.insert(*pause);
  }
  return pauses;
}

std::map<std::string, absl::Time> Pauses::Now(absl::Time now) const {
  std::map<std::string, absl::Time> paused = paused_;
  std::erase_if(paused, [&](const auto& pause) { return pause.second <= now; });
  return paused;
}

absl::Status Pauses::Pause(const std::string& id, absl::Time until, absl::Time now) {
  std::map<std::string, absl::Time> paused = Now(now);
  paused[id] = until;
  if (paused.size() > kMost) return absl::ResourceExhaustedError("too many hosts are paused: resume some");
  return Set(std::move(paused));
}

absl::Status Pauses::Resume(const std::string& id, absl::Time now) {
  std::map<std::string, absl::Time> paused = Now(now);
  if (paused.erase(id) == 0) return absl::NotFoundError("it is not paused");
  return Set(std::move(paused));
}

absl::Status Pauses::Set(std::map<std::string, absl::Time> paused) {
  std::string text;
  for (const auto& [id, until] : paused) {
    const bool forever = until == absl::InfiniteFuture();
    absl::StrAppend(&text, id, " ", forever ? kForever : absl::StrCat(absl::ToUnixSeconds(until)), "\n");
  }
  HEARTH_RETURN_IF_ERROR(WriteFile(path_, text, Replace::kRegularFile));
  paused_ = std::move(paused);
  return absl::OkStatus();
}

}  // namespace hearth
