#include "client/doctor/doctor.h"

#include "absl/strings/str_cat.h"
#include "client/command/commands.h"
#include "client/command/doctor_view.h"
#include "engine/command_line/program.h"

namespace hearth {

absl::Status RunDoctor(Client& client, const DoctorOptions& options, bool json) {
  const Findings findings = Diagnose(LookAround(client, options));
  absl::Status printed =
      Print(json ? FindingsJson(findings, options.version).dump() + "\n" : FindingsText(findings));
  if (!printed.ok()) return printed;
  const size_t wrong = CountOf(findings, Severity::kWrong);
  if (wrong == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(wrong == 1 ? "one thing is wrong"
                                                  : absl::StrCat(wrong, " things are wrong"));
}

}  // namespace hearth
