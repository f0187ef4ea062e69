#include "daemon/membership/host_identity.h"

#include <openssl/rand.h>
#include <sys/stat.h>

#include <array>
#include <fstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/output_file.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr size_t kIdBytes = 16;

std::string NewId() {
  std::array<unsigned char, kIdBytes> bytes;
  HEARTH_CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1);
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

bool IsId(const std::string& text) {
  return text.size() == 2 * kIdBytes && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string FirstWord(const std::string& path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

}  // namespace

absl::StatusOr<HostIdentity> ReadHostIdentity(const std::string& state_dir) {
  const std::string path = state_dir + "/host-id";
  HostIdentity identity;
  identity.id = FirstWord(path);
  if (!IsId(identity.id)) {
    identity.id = NewId();
    HEARTH_RETURN_IF_ERROR(WriteFile(path, identity.id + "\n", Replace::kRegularFile));
  }
  identity.machine = FirstWord("/proc/sys/kernel/random/boot_id");
  struct stat info;
  if (::stat(state_dir.c_str(), &info) != 0)
    return absl::UnavailableError(absl::StrCat("cannot read ", state_dir));
  identity.home = absl::StrCat(identity.machine, ":", info.st_dev, ":", info.st_ino);
  return identity;
}

}  // namespace hearth
