#include "daemon/joining/joined_home.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "daemon/discovery/lan_search.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/identity_files.h"
#include "daemon/identity/join_code.h"
#include "daemon/joining/join_client.h"
#include "daemon/joining/short_code.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/program.h"

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

absl::Status Show(const AtTheDoor& waiting) {
  return Print(absl::StrCat("on ", waiting.coordinator, ", whose home is ", waiting.authority.Short(),
                            ", type: hearth approve ", ShownCode(waiting.code), "\n"));
}

// Where a host asks to be let in.
absl::StatusOr<std::vector<std::string>> DoorsOf(const std::string& join) {
  if (join != kJoinLan) return std::vector<std::string>{join.substr(sizeof(kJoinLanAt) - 1)};
  const std::vector<FoundHome> homes = SearchLan();
  if (homes.size() == 1) return homes[0].doors;
  if (homes.empty()) {
    return absl::NotFoundError(
        "no coordinator answers on the local network: run `hearth invite` on its machine and start this "
        "again, or where something keeps multicast DNS (UDP 5353) from passing use the code that it prints");
  }
  const auto show = [](std::string* out, const FoundHome& home) {
    absl::StrAppend(out, home.coordinator, " (", home.id, ") at ", home.doors[0]);
  };
  return absl::FailedPreconditionError(
      absl::StrCat("several homes answer on the local network: ", absl::StrJoin(homes, ", ", show),
                   ": choose one, as with --join ", kJoinLanAt, homes[0].doors[0]));
}

// Of a host that has joined none yet.
absl::StatusOr<ConnectionKey> JoinByApproval(const std::string& join, const IdentityFiles& files,
                                             const std::string& name) {
  HEARTH_ASSIGN_OR_RETURN(const std::string host_key, files.HostKey());
  HEARTH_ASSIGN_OR_RETURN(const std::vector<std::string> doors, DoorsOf(join));
  HEARTH_ASSIGN_OR_RETURN(const ConnectionKey key, AskToJoin(doors, host_key, name, absl::Now(), Show));
  HEARTH_RETURN_IF_ERROR(files.SetJoinedHome(key));
  return key;
}

absl::StatusOr<ConnectionKey> Find(const Config& config) {
  HEARTH_ASSIGN_OR_RETURN(const IdentityFiles files, IdentityFiles::Open(config.state_dir));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<ConnectionKey> joined, files.JoinedHome());
  if (LooksLikeJoinCode(config.join)) {
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
  if (!joined && config.join != kJoinHome) return JoinByApproval(config.join, files, config.name);
  if (!joined) {
    return absl::FailedPreconditionError(
        "this host has joined no home yet: give a code, which `hearth invite` on the coordinator prints, or "
        "\"lan\"");
  }
  HEARTH_ASSIGN_OR_RETURN(const Certificate certificate, ParseCertificate(joined->certificate_pem));
  HEARTH_RETURN_IF_ERROR(CheckLife(certificate.life, absl::Now()));
  return *joined;
}

}  // namespace

absl::StatusOr<ConnectionKey> FindHome(const Config& config) {
  if (!JoinsHome(config)) return ConnectionKey();
  absl::StatusOr<ConnectionKey> key = Find(config);
  if (!key.ok()) return OfJoin(key.status());
  return key;
}

}  // namespace hearth
