#include "client/doctor/finding.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

void Add(Findings& to, Severity severity, std::string subject, std::string what, std::string cost,
         std::string remedy) {
  to.push_back({severity, std::move(subject), Printable(what), Printable(cost), Printable(remedy)});
}

void AppendAll(const Findings& findings, Severity severity, std::string& text) {
  for (const Finding& finding : findings) {
    if (finding.severity != severity) continue;
    if (severity == Severity::kGood) {
      absl::StrAppendFormat(&text, "ok       %s: %s\n", finding.subject, finding.what);
      continue;
    }
    absl::StrAppendFormat(&text, "%s %s: %s\n           costs: %s\n           do: %s\n",
                          severity == Severity::kWrong ? "WRONG   " : "warning ", finding.subject,
                          finding.what, finding.cost, finding.remedy);
  }
}

}  // namespace

void AddGood(Findings& to, std::string subject, std::string what) {
  Add(to, Severity::kGood, std::move(subject), std::move(what), "", "");
}

void AddWarning(Findings& to, std::string subject, std::string what, std::string cost, std::string remedy) {
  Add(to, Severity::kWarning, std::move(subject), std::move(what), std::move(cost), std::move(remedy));
}

void AddWrong(Findings& to, std::string subject, std::string what, std::string cost, std::string remedy) {
  Add(to, Severity::kWrong, std::move(subject), std::move(what), std::move(cost), std::move(remedy));
}

size_t CountOf(const Findings& findings, Severity severity) {
  return static_cast<size_t>(
      std::count_if(findings.begin(), findings.end(),
                    [severity](const Finding& finding) { return finding.severity == severity; }));
}

std::string FindingsText(const Findings& findings) {
  std::string text;
  for (const Severity severity : {Severity::kWrong, Severity::kWarning, Severity::kGood})
    AppendAll(findings, severity, text);
  return text;
}

}  // namespace hearth
