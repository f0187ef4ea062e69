#ifndef HEARTH_CLIENT_DOCTOR_DOCTOR_H_
#define HEARTH_CLIENT_DOCTOR_DOCTOR_H_

#include <string>
#include <vector>

#include "client/doctor/finding.h"
#include "client/doctor/home_checks.h"
#include "client/doctor/machine_checks.h"
#include "engine/base/system_files.h"

namespace hearth {

// All that `hearth doctor` looks at, as it is now.
struct SystemView {
  SystemFiles files;  // below / but for tests
  DiskView disk;
  HomeView home;
  std::vector<CertificateFile> certificates;
  ClockView clock;
  std::string version;  // of this program
};

// What is wrong, what could be better and what is good, and what to do. Depends on nothing but `view` and the
// files below its root.
Findings Diagnose(const SystemView& view);

}  // namespace hearth

#endif  // HEARTH_CLIENT_DOCTOR_DOCTOR_H_
