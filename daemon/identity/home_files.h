#ifndef HEARTH_DAEMON_IDENTITY_HOME_FILES_H_
#define HEARTH_DAEMON_IDENTITY_HOME_FILES_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hearth {

// Where a home keeps its authority and its list of members, each a text with a name: files of one machine
// (identity_files.h), or what several hosts share. Thread-safe.
class HomeFiles {
 public:
  virtual ~HomeFiles() = default;
  // nullopt where there is none of this name. Errors say in one line what does not work.
  virtual absl::StatusOr<std::optional<std::string>> Read(absl::string_view name) const = 0;
  virtual absl::Status Write(absl::string_view name, const std::string& text) const = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_HOME_FILES_H_
