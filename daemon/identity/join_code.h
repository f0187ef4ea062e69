#ifndef HEARTH_DAEMON_IDENTITY_JOIN_CODE_H_
#define HEARTH_DAEMON_IDENTITY_JOIN_CODE_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/identity/host_id.h"

namespace hearth {

// What proves that a host was invited; good once.
using JoinSecret = std::array<uint8_t, 16>;

// All that a new host has to know, in one word that a person carries over: "hearth" and base32. The check
// sum within finds what was cut off or mistyped, no more: the authority's hash and the secret are what is
// checked.
struct JoinCode {
  static constexpr size_t kMaxAddresses = 4;

  std::vector<std::string>
      addresses;     // of the coordinator's door: ADDRESS:PORT or [ADDRESS]:PORT, in numbers
  HostId authority;  // of the home's authority's key
  JoinSecret secret{};

  bool operator==(const JoinCode&) const = default;
};

// At least one address, at most kMaxAddresses, all in numbers (CHECK).
std::string FormatJoinCode(const JoinCode& code);
// INVALID_ARGUMENT with one line: it is no code, it was cut short, or it was altered.
absl::StatusOr<JoinCode> ParseJoinCode(absl::string_view text);
// Whether a person means a code and no HOST:PORT.
bool LooksLikeJoinCode(absl::string_view text);

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_JOIN_CODE_H_
