#ifndef HEARTH_DAEMON_IDENTITY_API_KEY_H_
#define HEARTH_DAEMON_IDENTITY_API_KEY_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "daemon/identity/host_id.h"

namespace hearth {

// A secret by which a program that speaks HTTP shows whose it is, "hearth-" and 32 letters and digits: 160
// random bits, so that its SHA-256, which is all that a home keeps, tells nothing of it.
std::string MakeApiKey();

// By what the owner of a key is known: its SHA-256. nullopt for what does not look like a key.
std::optional<HostId> IdOfApiKey(absl::string_view key);

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_API_KEY_H_
