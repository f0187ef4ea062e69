#ifndef HEARTH_DAEMON_IDENTITY_IDENTITY_FILES_H_
#define HEARTH_DAEMON_IDENTITY_IDENTITY_FILES_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/identity/home_files.h"
#include "proto/connection_key.h"

namespace hearth {

// The folder `identity` of a daemon's state directory, which nobody else may read: key.pem is the host's own
// key, home.pem what it got from the home that it has joined; a coordinator's Home keeps its files there too.
class IdentityFiles final : public HomeFiles {
 public:
  // Makes the folder where it is not there yet. Errors as WriteFile's.
  static absl::StatusOr<IdentityFiles> Open(const std::string& state_dir);

  // nullopt where there is no such file. UNAVAILABLE where it cannot be read.
  absl::StatusOr<std::optional<std::string>> Read(absl::string_view name) const override;
  absl::Status Write(absl::string_view name, const std::string& text) const override;
  std::string PathOf(absl::string_view name) const;

  // The host's own key, PEM; made where there is none. FAILED_PRECONDITION for a damaged one: what others
  // know this host by is not to change without a word.
  absl::StatusOr<std::string> HostKey() const;
  std::string HostKeyPath() const;

  // The home that this host has joined as a worker.
  absl::StatusOr<std::optional<ConnectionKey>> JoinedHome() const;
  absl::Status SetJoinedHome(const ConnectionKey& key) const;

 private:
  explicit IdentityFiles(std::string folder) : folder_(std::move(folder)) {}

  std::string folder_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_IDENTITY_FILES_H_
