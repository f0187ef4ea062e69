#include "client/doctor/doctor.h"

#include <algorithm>
#include <optional>

#include "client/doctor/network_checks.h"
#include "client/doctor/processes.h"

namespace hearth {
namespace {

// Whether a host offers a graphics card; nullopt where no daemon has answered.
std::optional<bool> CardIsOffered(const HomeView& home) {
  if (!home.cluster.ok()) return std::nullopt;
  for (const v1::HostStatus& host : home.cluster->hosts()) {
    for (const v1::DeviceStatus& device : host.devices()) {
      if (device.kind() == "gpu") return true;
    }
  }
  return false;
}

}  // namespace

Findings Diagnose(const SystemView& view) {
  Findings findings;
  const std::vector<ListeningPort> ports = ListeningPorts(view.files);
  CheckDaemon(view.home, ports, !ProcessesNamed(view.files, kDaemonProcess).empty(),
              view.files.Exists("/etc/hearth/hearthd.toml"), findings);
  CheckHttpPort(ports, findings);
  CheckHosts(view.home, view.version, findings);
  CheckClocks(view.home, view.clock.now, findings);
  CheckProcessor(view.files, findings);
  CheckMemory(view.files, findings);
  CheckHugePages(view.files, findings);
  CheckLimits(view.files, findings);
  CheckGraphics(view.files, CardIsOffered(view.home), findings);
  CheckDisk(view.disk, findings);
  CheckInterfaces(view.files, findings);
  CheckFirewall(view.files, ports, findings);
  CheckClock(view.clock, view.certificates, findings);
  CheckCertificates(view.certificates, view.home, view.clock.now, findings);
  return findings;
}

}  // namespace hearth
