#ifndef HEARTH_CLIENT_DOCTOR_NETWORK_CHECKS_H_
#define HEARTH_CLIENT_DOCTOR_NETWORK_CHECKS_H_

#include "client/doctor/finding.h"
#include "client/doctor/processes.h"
#include "engine/base/system_files.h"

namespace hearth {

// Of the home's encrypted ports: gRPC, and the door for those who join.
inline constexpr uint16_t kLanPort = 7771;
inline constexpr uint16_t kHttpPort = 7780;

// Whether a firewall's settings, as far as this user may read them, keep other machines from ports that are
// open to them.
void CheckFirewall(const SystemFiles& files, const std::vector<ListeningPort>& ports, Findings& findings);
// Wire or Wi-Fi, speed and packet size of what leads to other machines.
void CheckInterfaces(const SystemFiles& files, Findings& findings);
// Whether the dashboard's port is another program's.
void CheckHttpPort(const std::vector<ListeningPort>& ports, Findings& findings);

}  // namespace hearth

#endif  // HEARTH_CLIENT_DOCTOR_NETWORK_CHECKS_H_
