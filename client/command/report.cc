#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "client/command/commands.h"
#include "client/command/daemon_http.h"
#include "client/command/display.h"
#include "client/command/scrub.h"
#include "client/doctor/doctor.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

constexpr unsigned kReportMode = 0600;
constexpr char kIntroduction[] =
    "Report of `hearth report`. It is for whoever looks for a fault. Names of machines, models and people, "
    "paths, addresses,\n"
    "keys and codes are replaced; prompts and answers were never in it. Read it before you send it.\n";

void AddWord(PrivateWords& words, const std::string& word, std::string replacement) {
  if (!word.empty()) words.emplace(word, std::move(replacement));
}

// "cpu" and "gpu0" tell nothing.
bool IsPlainDevice(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, "cpu") && !absl::ConsumePrefix(&name, "gpu")) return false;
  return name.find_first_not_of("0123456789") == absl::string_view::npos;
}

// The names that people gave to what the daemon tells of.
void AddNames(const HomeView& home, const v1::ListModelsResponse& models, PrivateWords& words) {
  int hosts = 0, devices = 0, members = 0, known = 0;
  if (home.cluster.ok()) {
    for (const v1::HostStatus& host : home.cluster->hosts()) {
      AddWord(words, host.name(), absl::StrCat("host-", ++hosts));
      for (const v1::DeviceStatus& device : host.devices()) {
        if (!IsPlainDevice(device.name())) AddWord(words, device.name(), absl::StrCat("device-", ++devices));
      }
    }
    for (const v1::AwayHost& host : home.cluster->away())
      AddWord(words, host.name(), absl::StrCat("host-", ++hosts));
  }
  if (home.members) {
    for (const v1::Member& member : home.members->members())
      AddWord(words, member.name(), absl::StrCat("member-", ++members));
  }
  for (const v1::ModelStatus& model : models.models()) {
    AddWord(words, model.name(), absl::StrCat("model-", ++known));
    AddWord(words, model.path(), absl::StrCat("PATH-of-model-", known));
  }
  for (const std::string& name : models.available()) AddWord(words, name, absl::StrCat("model-", ++known));
}

void AddThisUser(PrivateWords& words) {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) == 0) AddWord(words, host.data(), "this-machine");
  for (const char* name : {"USER", "LOGNAME", "SUDO_USER"}) {
    const char* const value = std::getenv(name);
    // The service's and the administrator's names are everybody's.
    if (value != nullptr && value != std::string_view("root") && value != std::string_view("hearth"))
      AddWord(words, value, "USER");
  }
  if (const char* const home = std::getenv("HOME"); home != nullptr && std::string_view(home).size() > 1)
    AddWord(words, home, "HOME");
}

void AddSection(std::string& report, const char* title, const std::string& text) {
  absl::StrAppend(&report, "\n== ", title, " ==\n", text, text.empty() || text.back() == '\n' ? "" : "\n");
}

std::string NotTold(const absl::Status& status) {
  return absl::StrCat("not told: ", Printable(status.message()), "\n");
}

// The chronicle's events: one line each.
std::string EventsText(const DaemonHttp& http) {
  const auto news = GetFromDaemon(http, "/dashboard/news", "event: sample\n");
  if (!news.ok()) return NotTold(news.status());
  const std::string_view mark = "event: events\ndata: ";
  const size_t begin = news->find(mark);
  if (begin == std::string::npos) return "none\n";
  const size_t end = news->find("\n\n", begin);
  const auto events = nlohmann::json::parse(
      news->substr(begin + mark.size(), end == std::string::npos ? end : end - begin - mark.size()), nullptr,
      false);
  std::string text;
  for (const auto& event : events) {
    if (!event.is_object()) continue;
    absl::StrAppend(
        &text,
        absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMillis(event.value("time", int64_t{0})),
                         absl::UTCTimeZone()),
        " ", Printable(event.value("kind", "")), "  ", Printable(event.value("text", "")), "\n");
  }
  return text.empty() ? "none\n" : text;
}

std::string ReportText(const SystemView& view, const absl::StatusOr<v1::ListModelsResponse>& models,
                       const DaemonHttp& http) {
  std::string report;
  AddSection(
      report, "versions",
      absl::StrCat("hearth ", view.version, "\nLinux ", view.files.Word("/proc/sys/kernel/osrelease"), "\n"));
  AddSection(report, "doctor", FindingsText(Diagnose(view)));
  if (view.home.cluster.ok()) {
    AddSection(report, "status",
               DetailsText(*view.home.cluster, models.ok() ? *models : v1::ListModelsResponse()));
    std::string plans;
    for (const v1::PlanStatus& plan : view.home.cluster->plans())
      absl::StrAppend(&plans, PlanText(plan), "\n");
    AddSection(report, "plans", plans.empty() ? "none\n" : plans);
  } else {
    AddSection(report, "status", NotTold(view.home.cluster.status()));
  }
  const auto metrics = GetFromDaemon(http, "/metrics");
  AddSection(report, "metrics", metrics.ok() ? *metrics : NotTold(metrics.status()));
  AddSection(report, "events (UTC)", EventsText(http));
  return report;
}

}  // namespace

absl::Status RunReport(Client& client, const DoctorOptions& options, const DaemonHttp& http,
                       const std::string& path, bool json) {
  if (absl::Status status = OutputFile::Check(path, Replace::kNever); !status.ok()) return status;
  const SystemView view = LookAround(client, options);
  const auto models = client.ListModels();
  PrivateWords words;
  AddNames(view.home, models.ok() ? *models : v1::ListModelsResponse(), words);
  AddThisUser(words);
  const std::string report = kIntroduction + Scrub(ReportText(view, models, http), words);
  if (absl::Status status = WriteFile(path, report, Replace::kNever, kReportMode); !status.ok())
    return status;
  if (json) return Print(nlohmann::ordered_json{{"path", path}, {"bytes", report.size()}}.dump() + "\n");
  return Print(absl::StrCat("wrote ", Printable(path, kMaxPathBytes), ": read it, then send it\n"));
}

}  // namespace hearth
