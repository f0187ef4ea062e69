#include "client/command/status_text.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/command/display.h"
#include "client/library/bytes_text.h"
#include "engine/base/printable.h"
#include "engine/base/split_name.h"

namespace hearth {
namespace {

// Beyond what a plan errs by: a token that takes so many times what was expected is worth a word.
constexpr double kMuchSlower = 1.5;

// Bytes of a plan's weights by host, largest first.
std::vector<std::pair<std::string, uint64_t>> Shares(const v1::PlanStatus& plan) {
  std::map<std::string, uint64_t> bytes;
  for (const v1::DeviceShare& share : plan.shares()) {
    if (share.weight_bytes() > 0) bytes[share.host()] += share.weight_bytes();
  }
  std::vector<std::pair<std::string, uint64_t>> shares(bytes.begin(), bytes.end());
  std::stable_sort(shares.begin(), shares.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return shares;
}

// "on attic (60 %) and cellar (40 %)".
std::string WhereText(const v1::PlanStatus& plan) {
  const auto shares = Shares(plan);
  if (shares.size() == 1) return absl::StrCat("on ", Printable(shares[0].first));
  double all = 0;
  for (const auto& [host, bytes] : shares) all += static_cast<double>(bytes);
  std::vector<std::string> parts;
  for (const auto& [host, bytes] : shares) {
    parts.push_back(absl::StrFormat("%s (%.0f %%)", Printable(host), 100 * static_cast<double>(bytes) / all));
  }
  return absl::StrCat("on ", absl::StrJoin(parts, ", "));
}

std::string SpeedText(const v1::PlanStatus& plan) {
  if (IsForOtherThanLatency(plan)) return absl::StrCat(", ", ObjectiveText(plan));
  if (plan.expected_token_ms() <= 0) return "";
  const double expected = 1e3 / plan.expected_token_ms();
  if (plan.measured_token_ms() <= 0) return absl::StrFormat(", %.1f tokens/s expected", expected);
  return absl::StrFormat(", %.1f tokens/s (%.1f expected)", 1e3 / plan.measured_token_ms(), expected);
}

std::string RequestsText(const v1::ModelStatus& model) {
  if (model.requests_running() == 0 && model.requests_waiting() == 0) return "no requests";
  return absl::StrCat(model.requests_running(), model.requests_running() == 1 ? " request" : " requests",
                      " being answered, ", model.requests_waiting(), " waiting");
}

std::string ModelText(const v1::ModelStatus& model, const v1::ClusterStatus& cluster) {
  const v1::PlanStatus* plan = PlanOf(cluster, model.name());
  if (model.state() != v1::MODEL_STATE_READY || plan == nullptr || plan->shares().empty()) {
    return absl::StrCat("  ", ModelLine(model), "\n");
  }
  return absl::StrCat("  ", Printable(model.name()), "  ready ", WhereText(*plan), SpeedText(*plan), "; ",
                      model.draft_state() == v1::MODEL_STATE_READY
                          ? absl::StrCat(NameOfModelFile(Printable(model.draft())), " guesses for it; ")
                          : "",
                      RequestsText(model), "\n");
}

std::string MachineText(const v1::HostStatus& host, const v1::ClusterStatus& cluster) {
  std::vector<std::string> parts;
  if (host.coordinator()) parts.push_back("coordinator");
  if (host.state() == v1::HOST_STATE_JOINING) parts.push_back("joining");
  if (host.state() == v1::HOST_STATE_LOST) parts.push_back("lost");
  for (const v1::DeviceStatus& device : host.devices()) {
    if (host.state() == v1::HOST_STATE_LOST) continue;
    parts.push_back(absl::StrCat(Printable(device.name()), ": ", BytesText(device.memory_used_bytes()),
                                 " of ", BytesText(device.memory_budget_bytes()), " in use"));
  }
  for (const v1::TransferStatus& transfer : cluster.transfers()) {
    if (transfer.host() != host.name() || transfer.bytes_total() == 0) continue;
    parts.push_back(absl::StrFormat(
        "gets its part of %s, %.0f %% so far", Printable(transfer.model()),
        100 * static_cast<double>(transfer.bytes_done()) / static_cast<double>(transfer.bytes_total())));
  }
  return absl::StrFormat("  %-20s %s\n", Printable(host.name()), absl::StrJoin(parts, ", "));
}

// "3 min": how long ago.
std::string AgoText(uint64_t ms) {
  if (ms < 120'000) return absl::StrCat(ms / 1000, " s");
  if (ms < 7'200'000) return absl::StrCat(ms / 60'000, " min");
  return absl::StrCat(ms / 3'600'000, " h");
}

}  // namespace

std::vector<std::string> ProblemsOf(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models) {
  std::vector<std::string> problems;
  for (const v1::ModelStatus& model : models.models()) {
    if (model.state() == v1::MODEL_STATE_FAILED) {
      problems.push_back(absl::StrCat("Model ", Printable(model.name()),
                                      " cannot be used: ", Printable(model.detail()), "."));
      continue;
    }
    if (model.draft_state() == v1::MODEL_STATE_FAILED) {
      problems.push_back(absl::StrCat("Nothing guesses for model ", Printable(model.name()), ": ",
                                      Printable(model.draft_detail()), "."));
    }
    const v1::PlanStatus* plan = PlanOf(cluster, model.name());
    if (plan == nullptr || plan->measured_token_ms() <= kMuchSlower * plan->expected_token_ms()) continue;
    problems.push_back(
        absl::StrCat("Model ", Printable(model.name()),
                     " is slower than expected; if it stays so, look at what else the machines "
                     "compute and at the links (hearth status --verbose)."));
  }
  for (const v1::HostStatus& host : cluster.hosts()) {
    const std::string name = Printable(host.name()), detail = Printable(host.detail());
    if (host.state() == v1::HOST_STATE_LOST) {
      problems.push_back(absl::StrCat("Machine ", name, " is lost for ", AgoText(host.last_sync_ms()),
                                      detail.empty() ? "" : ": ", detail, ". Start hearthd there again, ",
                                      FindAway(cluster, host.name()) ? WakeAdvice(host.name()) + ", " : "",
                                      "or strike it off with `hearth forget ", name, "`."));
    } else if (host.state() == v1::HOST_STATE_ALIVE && !detail.empty()) {
      problems.push_back(absl::StrCat(
          "Machine ", name, host.coordinator() ? " is to lead only: " : " is left out: ", detail, "."));
    }
  }
  return problems;
}

const v1::PlanStatus* PlanOf(const v1::ClusterStatus& cluster, const std::string& model) {
  for (const v1::PlanStatus& plan : cluster.plans()) {
    if (plan.model() == model) return &plan;
  }
  return nullptr;
}

std::string StatusText(const v1::ClusterStatus& cluster, const v1::ListModelsResponse& models) {
  std::string text = "Models\n";
  for (const v1::ModelStatus& model : models.models()) text += ModelText(model, cluster);
  if (models.models().empty()) text += "  none; load one with `hearth load FILE.gguf`\n";
  if (!cluster.hosts().empty()) text += "Machines\n";
  for (const v1::HostStatus& host : cluster.hosts()) text += MachineText(host, cluster);
  for (const v1::AwayHost* away : AwayAlone(cluster))
    absl::StrAppendFormat(&text, "  %-20s away; %s\n", Printable(away->name()), WakeAdvice(away->name()));
  const std::vector<std::string> problems = ProblemsOf(cluster, models);
  for (const std::string& problem : problems) absl::StrAppend(&text, problem, "\n");
  if (problems.empty()) text += "Nothing is wrong. ";
  text += "Why it is shared so: `hearth plan`. All figures: `hearth status --verbose`.\n";
  return text;
}

}  // namespace hearth
