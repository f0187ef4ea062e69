#include "daemon/identity/identity_files.h"

#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "daemon/identity/certificate.h"
#include "engine/base/input_file.h"
#include "engine/base/output_file.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr unsigned kOwnerOnly = 0600;
constexpr char kHostKey[] = "key.pem";
constexpr char kJoinedHome[] = "home.pem";

}  // namespace

absl::StatusOr<IdentityFiles> IdentityFiles::Open(const std::string& state_dir) {
  const std::string folder = state_dir + "/identity";
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", folder));
  return IdentityFiles(folder);
}

std::string IdentityFiles::PathOf(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }

absl::StatusOr<std::optional<std::string>> IdentityFiles::Read(absl::string_view name) const {
  absl::StatusOr<std::string> text = ReadInputFile(PathOf(name), kMaxFileBytes);
  if (text.ok()) return *std::move(text);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  return absl::UnavailableError(text.status().message());
}

absl::Status IdentityFiles::Write(absl::string_view name, const std::string& text) const {
  return WriteFile(PathOf(name), text, Replace::kRegularFile, kOwnerOnly);
}

absl::StatusOr<std::string> IdentityFiles::HostKey() const {
  HEARTH_ASSIGN_OR_RETURN(std::optional<std::string> key, Read(kHostKey));
  if (!key) {
    key = MakePrivateKey();
    HEARTH_RETURN_IF_ERROR(Write(kHostKey, *key));
  }
  if (IdOfPrivateKey(*key).ok()) return *std::move(key);
  return absl::FailedPreconditionError(absl::StrCat(
      PathOf(kHostKey), " is damaged: put it back from a copy, or delete it and join anew as another host"));
}

std::string IdentityFiles::HostKeyPath() const { return PathOf(kHostKey); }

absl::StatusOr<std::optional<ConnectionKey>> IdentityFiles::JoinedHome() const {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> file, Read(kJoinedHome));
  if (!file) return std::nullopt;
  std::optional<ConnectionKey> key = ParseConnectionKey(*file);
  if (key && !key->server.empty()) return key;
  return absl::FailedPreconditionError(
      absl::StrCat(PathOf(kJoinedHome), " is damaged: join anew with a new code of `hearth invite`"));
}

absl::Status IdentityFiles::SetJoinedHome(const ConnectionKey& key) const {
  return Write(kJoinedHome, FormatConnectionKey(key));
}

}  // namespace hearth
