#include "daemon/membership/host_identity.h"

#include <sys/stat.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/identity_files.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

std::string FirstWord(const std::string& path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

}  // namespace

absl::StatusOr<HostIdentity> ReadHostIdentity(const std::string& state_dir) {
  HEARTH_ASSIGN_OR_RETURN(const IdentityFiles files, IdentityFiles::Open(state_dir));
  HEARTH_ASSIGN_OR_RETURN(const std::string key, files.HostKey());
  HEARTH_ASSIGN_OR_RETURN(const HostId id, IdOfPrivateKey(key));
  HostIdentity identity;
  identity.id = id.Text();
  identity.machine = FirstWord("/proc/sys/kernel/random/boot_id");
  struct stat info;
  if (::stat(state_dir.c_str(), &info) != 0)
    return absl::UnavailableError(absl::StrCat("cannot read ", state_dir));
  identity.home = absl::StrCat(identity.machine, ":", info.st_dev, ":", info.st_ino);
  return identity;
}

}  // namespace hearth
