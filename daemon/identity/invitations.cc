#include "daemon/identity/invitations.h"

#include <algorithm>

namespace hearth {
namespace {

// A secret's hash: looking it up tells nothing about the secret by the time that it takes.
Sha256Digest HashOf(const JoinSecret& secret) { return Sha256Of(secret); }

}  // namespace

void Invitations::Add(const JoinSecret& secret, absl::Time expires) {
  if (invitations_.size() == kMost) invitations_.pop_front();
  invitations_.push_back({HashOf(secret), expires, std::nullopt});
}

absl::Status Invitations::Claim(const JoinSecret& secret, const HostId& key, absl::Time now) {
  const Sha256Digest hash = HashOf(secret);
  const auto found = std::find_if(invitations_.begin(), invitations_.end(),
                                  [&](const Invitation& invitation) { return invitation.hash == hash; });
  if (found == invitations_.end()) {
    return absl::PermissionDeniedError(
        "the join code is unknown here, perhaps from before a restart: make a new one with `hearth invite`");
  }
  if (found->claimed_by && *found->claimed_by != key) {
    return absl::PermissionDeniedError(
        "the join code was used already, by another host: make a new one with `hearth invite`");
  }
  if (now > found->expires) {
    return absl::PermissionDeniedError("the join code has expired: make a new one with `hearth invite`");
  }
  found->claimed_by = key;
  return absl::OkStatus();
}

void Invitations::Forget(const HostId& key) {
  std::erase_if(invitations_, [&](const Invitation& invitation) { return invitation.claimed_by == key; });
}

}  // namespace hearth
