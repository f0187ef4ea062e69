#ifndef HEARTH_CLIENT_DOCTOR_FINDING_H_
#define HEARTH_CLIENT_DOCTOR_FINDING_H_

#include <string>
#include <vector>

namespace hearth {

enum class Severity {
  kGood,     // worth a short line
  kWarning,  // it works, and could be better
  kWrong,    // something does not work
};

// One thing that `hearth doctor` has looked at. Lines without control characters.
struct Finding {
  Severity severity = Severity::kGood;
  std::string subject;  // a word or two: "memory"
  std::string what;     // what was found
  std::string cost;     // what it costs; empty where it is good
  std::string remedy;   // what to do; empty where it is good
};
using Findings = std::vector<Finding>;

void AddGood(Findings& to, std::string subject, std::string what);
void AddWarning(Findings& to, std::string subject, std::string what, std::string cost, std::string remedy);
void AddWrong(Findings& to, std::string subject, std::string what, std::string cost, std::string remedy);

size_t CountOf(const Findings& findings, Severity severity);

// What people read: what is wrong first, then warnings, each in three lines, then a short line for each that
// is good.
std::string FindingsText(const Findings& findings);

}  // namespace hearth

#endif  // HEARTH_CLIENT_DOCTOR_FINDING_H_
