#ifndef HEARTH_CLIENT_DOCTOR_PROCESSES_H_
#define HEARTH_CLIENT_DOCTOR_PROCESSES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/system_files.h"

namespace hearth {

inline constexpr char kDaemonProcess[] = "hearthd";

// The numbers of the processes of that name.
std::vector<std::string> ProcessesNamed(const SystemFiles& files, std::string_view name);

// A TCP port on which somebody listens.
struct ListeningPort {
  uint16_t port = 0;
  bool loopback = false;  // reached from this machine alone
  std::string process;    // the name of whose it is; empty: this user may not know
};
std::vector<ListeningPort> ListeningPorts(const SystemFiles& files);

}  // namespace hearth

#endif  // HEARTH_CLIENT_DOCTOR_PROCESSES_H_
