#ifndef HEARTH_DAEMON_DISCOVERY_LAN_HOME_H_
#define HEARTH_DAEMON_DISCOVERY_LAN_HOME_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace hearth {

// What a coordinator says on the local network to whoever asks, as the service _hearth._tcp of DNS-SD. None
// of it is proved by that, nor secret.
struct LanHome {
  std::string id;                      // the short form of its authority's
  std::string coordinator;             // what the host is called
  uint16_t port = 0;                   // of the door (joining/door.h)
  std::vector<std::string> addresses;  // in numbers, the likeliest first
};

// The question, which asks for an answer to the asker alone.
std::string LanHomeQuery();

// What to answer to a message, from another port than multicast DNS' own (`legacy`) or from that. nullopt: it
// does not ask for this home.
struct LanAnswer {
  std::string message;
  bool unicast = false;  // to the asker alone, not to all
};
std::optional<LanAnswer> AnswerFor(absl::Span<const uint8_t> message, bool legacy, const LanHome& home);

// The home that answers by this message, its texts printable. nullopt: it is no such answer.
std::optional<LanHome> ReadLanHome(absl::Span<const uint8_t> message);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DISCOVERY_LAN_HOME_H_
