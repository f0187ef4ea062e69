#include "client/command/doctor_view.h"

#include <sys/stat.h>
#include <sys/timex.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/input_file.h"

namespace hearth {
namespace {

constexpr uint64_t kMaxPemBytes = 64 << 10;
constexpr char kCertificate[] = "-----BEGIN CERTIFICATE-----";

// The largest model of the models directory: a small one tells little of a disk.
std::string FileToRead(const LibraryFolders& folders) {
  std::string path;
  uint64_t bytes = 0;
  for (const LocalModel& model : ListLocalModels(folders)) {
    if (!model.whole() || model.source != "models" || model.bytes <= bytes) continue;
    path = model.path;
    bytes = model.bytes;
  }
  return path;
}

// What daemons of this user and the service keep of who they are, as far as this user may read it.
std::vector<CertificateFile> ReadCertificates(const ConnectionKey& key) {
  std::vector<CertificateFile> certificates;
  if (!key.empty()) certificates.push_back({"the key", key.certificate_pem});
  std::vector<std::string> states = {"/var/lib/hearth"};
  if (const char* const home = std::getenv("HOME"); home != nullptr)
    states.push_back(absl::StrCat(home, "/.local/state/hearth"));
  for (const std::string& state : states) {
    const std::string folder = state + "/identity/";
    for (const std::string& name : SystemFiles().Names(folder)) {
      const auto text = ReadInputFile(folder + name, kMaxPemBytes);
      if (text.ok() && absl::StrContains(*text, kCertificate)) certificates.push_back({folder + name, *text});
    }
  }
  return certificates;
}

ClockView ReadClock() {
  ClockView clock{.now = absl::Now()};
  struct stat about {};
  if (stat("/proc/self/exe", &about) == 0) clock.program_made = absl::TimeFromTimespec(about.st_mtim);
  timex kernel{};
  if (const int state = adjtimex(&kernel); state >= 0) clock.synchronized = state != TIME_ERROR;
  return clock;
}

const char* NameOf(Severity severity) {
  switch (severity) {
    case Severity::kWrong:
      return "wrong";
    case Severity::kWarning:
      return "warning";
    case Severity::kGood:
      break;
  }
  return "ok";
}

}  // namespace

SystemView LookAround(Client& client, const DoctorOptions& options) {
  SystemView view;
  view.version = options.version;
  view.home.server = options.server;
  view.home.cluster = client.GetCluster();
  view.clock = ReadClock();  // that of the moment for which hosts tell theirs
  if (view.home.cluster.ok()) {
    auto members = client.ListMembers();
    if (members.ok()) view.home.members = *std::move(members);
  }
  view.disk = LookAtDisk(options.folders.models, FileToRead(options.folders));
  view.certificates = ReadCertificates(options.key);
  return view;
}

nlohmann::ordered_json FindingsJson(const Findings& findings, const std::string& version) {
  nlohmann::ordered_json json = {{"version", version},
                                 {"wrong", CountOf(findings, Severity::kWrong)},
                                 {"warnings", CountOf(findings, Severity::kWarning)},
                                 {"findings", nlohmann::ordered_json::array()}};
  for (const Finding& finding : findings) {
    json["findings"].push_back({{"severity", NameOf(finding.severity)},
                                {"subject", finding.subject},
                                {"what", finding.what},
                                {"cost", finding.cost},
                                {"remedy", finding.remedy}});
  }
  return json;
}

}  // namespace hearth
