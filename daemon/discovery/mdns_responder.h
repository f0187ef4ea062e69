#ifndef HEARTH_DAEMON_DISCOVERY_MDNS_RESPONDER_H_
#define HEARTH_DAEMON_DISCOVERY_MDNS_RESPONDER_H_

#include <memory>
#include <string>

#include "daemon/discovery/lan_home.h"

namespace hearth {

// Answers those who look for a home on the local network, by multicast DNS, on each of this machine's
// interfaces by which its door is reached, as they come and go; others may answer for other services beside
// it (Avahi). What it costs is bounded, whoever asks how often; what it cannot do is a warning. Not on
// loopback.
class MdnsResponder {
 public:
  // `door`: HOST:PORT where it listens. `home`: its port and addresses follow from that.
  static std::unique_ptr<MdnsResponder> Start(const std::string& door, LanHome home);
  virtual ~MdnsResponder() = default;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_DISCOVERY_MDNS_RESPONDER_H_
