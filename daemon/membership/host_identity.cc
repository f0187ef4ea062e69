#include "daemon/membership/host_identity.h"

#include <openssl/rand.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

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

// Whole or not at all.
bool WriteId(const std::string& path, const std::string& id) {
  const std::string draft = path + ".new";
  std::ofstream file(draft);
  file << id << '\n';
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(draft, path, error);
  return file && !error;
}

}  // namespace

absl::StatusOr<HostIdentity> ReadHostIdentity(const std::string& state_dir) {
  const std::string path = state_dir + "/host-id";
  HostIdentity identity;
  identity.id = FirstWord(path);
  if (!IsId(identity.id)) {
    identity.id = NewId();
    if (!WriteId(path, identity.id)) return absl::UnavailableError(absl::StrCat("cannot write ", path));
  }
  identity.machine = FirstWord("/proc/sys/kernel/random/boot_id");
  struct stat info;
  if (::stat(state_dir.c_str(), &info) != 0)
    return absl::UnavailableError(absl::StrCat("cannot read ", state_dir));
  identity.home = absl::StrCat(identity.machine, ":", info.st_dev, ":", info.st_ino);
  return identity;
}

}  // namespace hearth
