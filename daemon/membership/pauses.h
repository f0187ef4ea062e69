#ifndef HEARTH_DAEMON_MEMBERSHIP_PAUSES_H_
#define HEARTH_DAEMON_MEMBERSHIP_PAUSES_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace hearth {

// "it is paused until ...", in words.
std::string PauseReason(absl::Time until);

// The hosts that somebody has told to pause (`hearth pause`), in a file of the coordinator's state directory.
// Not thread-safe.
class Pauses {
 public:
  static constexpr size_t kMost = 1024;

  // Reads the file; none are paused where there is none. FAILED_PRECONDITION names a line that cannot be
  // read.
  static absl::StatusOr<Pauses> Open(const std::string& state_dir);

  // Until when, by the host's id; absl::InfiniteFuture(): until it is resumed. Those that are over count no
  // more.
  std::map<std::string, absl::Time> Now(absl::Time now) const;
  // Writes the file, in whole seconds; nothing has changed where that fails. RESOURCE_EXHAUSTED when kMost
  // are paused.
  absl::Status Pause(const std::string& id, absl::Time until, absl::Time now);
  // NOT_FOUND where the host is not paused.
  absl::Status Resume(const std::string& id, absl::Time now);

 private:
  explicit Pauses(std::string path) : path_(std::move(path)) {}
  absl::Status Set(std::map<std::string, absl::Time> paused);

  std::string path_;
  std::map<std::string, absl::Time> paused_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_PAUSES_H_
