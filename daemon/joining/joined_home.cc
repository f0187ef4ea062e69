#include "daemon/joining/joined_home.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/identity_files.h"
#include "daemon/identity/join_code.h"
#include "daemon/joining/join_client.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr std::chrono::seconds kPause{1};
// The file that says which code the home was joined by.
constexpr char kJoinedBy[] = "joined-by";

absl::Status OfJoin(const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("--join: ", status.message()));
}

// The home of the certificate that this host has already, if it is `authority`'s.
bool IsOfHome(const ConnectionKey& key, const HostId& authority) {
  const absl::StatusOr<Certificate> known = ParseCertificate(key.authority_pem);
  return known.ok() && known->id == authority;
}

absl::StatusOr<ConnectionKey> JoinByCode(const JoinCode& code, const IdentityFiles& files,
                                         const std::string& name) {
  HEARTH_ASSIGN_OR_RETURN(const std::string host_key, files.HostKey());
  for (bool first = true;; first = false) {
    const absl::StatusOr<ConnectionKey> key = JoinHome(code, host_key, name, absl::Now());
    if (key.ok()) {
      HEARTH_RETURN_IF_ERROR(files.SetJoinedHome(*key));
      return key;
    }
    if (!absl::IsUnavailable(key.status())) return key;
    if (first) spdlog::warn("{}; trying again", std::string(key.status().message()));
    std::this_thread::sleep_for(kPause);
  }
}

absl::StatusOr<ConnectionKey> Find(const Config& config) {
  HEARTH_ASSIGN_OR_RETURN(const IdentityFiles files, IdentityFiles::Open(config.state_dir));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<ConnectionKey> joined, files.JoinedHome());
  if (config.join != kJoinHome) {
    HEARTH_ASSIGN_OR_RETURN(const JoinCode code, ParseJoinCode(config.join));
    // A start with the same code again, by a script or a unit, goes on with what it brought.
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> used, files.Read(kJoinedBy));
    const std::string digest = Sha256Hex(Sha256Of(code.secret));
    if (!joined || !IsOfHome(*joined, code.authority) || used != digest) {
      HEARTH_ASSIGN_OR_RETURN(const ConnectionKey key, JoinByCode(code, files, config.name));
      HEARTH_RETURN_IF_ERROR(files.Write(kJoinedBy, digest));
      return key;
    }
  }
  if (!joined) {
    return absl::FailedPreconditionError(
        "this host has joined no home yet: give a code, which `hearth invite` on the coordinator prints");
  }
  HEARTH_ASSIGN_OR_RETURN(const Certificate certificate, ParseCertificate(joined->certificate_pem));
  HEARTH_RETURN_IF_ERROR(CheckLife(certificate.life, absl::Now()));
  return *joined;
}

}  // namespace

bool JoinsHome(const Config& config) { return config.join == kJoinHome || LooksLikeJoinCode(config.join); }

absl::StatusOr<ConnectionKey> FindHome(const Config& config) {
  if (!JoinsHome(config)) return ConnectionKey();
  absl::StatusOr<ConnectionKey> key = Find(config);
  if (!key.ok()) return OfJoin(key.status());
  return key;
}

}  // namespace hearth
