#ifndef HEARTH_CLIENT_DOCTOR_HOME_CHECKS_H_
#define HEARTH_CLIENT_DOCTOR_HOME_CHECKS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/doctor/finding.h"
#include "client/doctor/processes.h"
#include "proto/hearth/v1/cluster.pb.h"
#include "proto/hearth/v1/home.pb.h"

namespace hearth {

// What the daemon that was asked said.
struct HomeView {
  std::string server;  // HOST:PORT that was asked
  absl::StatusOr<v1::ClusterStatus> cluster = absl::UnknownError("not asked");
  std::optional<v1::ListMembersResponse> members;  // nullopt: it may not be told, or nobody answered
};

// Whether a daemon answers, and if not, who has its port. `installed`: the service is on this machine.
void CheckDaemon(const HomeView& home, const std::vector<ListeningPort>& ports, bool daemon_runs,
                 bool installed, Findings& findings);
// Versions, lost hosts and slow links, where a daemon answers.
void CheckHosts(const HomeView& home, const std::string& own_version, Findings& findings);
// Whether the hosts' clocks agree with this machine's, which says `now`.
void CheckClocks(const HomeView& home, absl::Time now, Findings& findings);

// A certificate that lies on this machine, PEM.
struct CertificateFile {
  std::string path;
  std::string pem;
};
// Dates of certificates: those of this machine and of the members.
void CheckCertificates(const std::vector<CertificateFile>& files, const HomeView& home, absl::Time now,
                       Findings& findings);

struct ClockView {
  absl::Time now = absl::InfinitePast();
  absl::Time program_made = absl::InfinitePast();   // when this program was written to the disk
  std::optional<bool> synchronized = std::nullopt;  // by the kernel's account; nullopt: it does not tell
};
void CheckClock(const ClockView& clock, const std::vector<CertificateFile>& files, Findings& findings);

}  // namespace hearth

#endif  // HEARTH_CLIENT_DOCTOR_HOME_CHECKS_H_
