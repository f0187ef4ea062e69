#include "daemon/dashboard/happenings.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr size_t kMaxNamed = 8;  // hosts in one sentence

template <class Message>
const Message* Find(const google::protobuf::RepeatedPtrField<Message>& messages, const std::string& name,
                    const std::string& (Message::*name_of)() const) {
  for (const Message& message : messages) {
    if ((message.*name_of)() == name) return &message;
  }
  return nullptr;
}

const v1::HostStatus* FindHost(const HomeState& state, const std::string& name) {
  return Find(state.cluster.hosts(), name, &v1::HostStatus::name);
}

std::string Because(const std::string& detail) {
  return detail.empty() ? "" : absl::StrCat(": ", Printable(detail));
}

void AddHost(const v1::HostStatus* before, const v1::HostStatus& host, std::vector<Happening>& to) {
  if (before != nullptr && before->state() == host.state()) return;
  const std::string name = Printable(host.name(), kMaxNameBytes);
  switch (host.state()) {
    case v1::HOST_STATE_JOINING:
      to.push_back({"host-joined", absl::StrCat(name, " is joining", Because(host.detail()))});
      break;
    case v1::HOST_STATE_ALIVE:
      to.push_back(
          {"host-joined",
           absl::StrCat(name, before != nullptr && before->state() == v1::HOST_STATE_LOST ? " is back"
                                                                                          : " is there")});
      break;
    case v1::HOST_STATE_LOST:
      to.push_back({"host-lost", absl::StrCat(name, " is lost", Because(host.detail()))});
      break;
    default:
      break;
  }
}

void AddWoken(const HomeState& before, const v1::AwayHost& host, std::vector<Happening>& to) {
  const v1::HostStatus* const there = FindHost(before, host.name());
  if (there != nullptr && there->state() != v1::HOST_STATE_LOST) return;  // that was before it came
  const v1::AwayHost* const away = Find(before.cluster.away(), host.name(), &v1::AwayHost::name);
  if (host.woken_unix_seconds() == (away == nullptr ? 0 : away->woken_unix_seconds())) return;
  to.push_back({"host-woken",
                absl::StrCat(Printable(host.name(), kMaxNameBytes), " is sent magic packets that wake it")});
}

void AddModel(const v1::ModelStatus* before, const v1::ModelStatus& model, std::vector<Happening>& to) {
  if (before != nullptr && before->state() == model.state()) return;
  const std::string name = Printable(model.name(), kMaxNameBytes);
  switch (model.state()) {
    case v1::MODEL_STATE_LOADING:
      to.push_back({"model", absl::StrCat(name, " is being loaded", Because(model.detail()))});
      break;
    case v1::MODEL_STATE_READY:
      to.push_back({"model", absl::StrCat(name, " is ready")});
      break;
    case v1::MODEL_STATE_FAILED:
      to.push_back({"model-failed", absl::StrCat(name, " could not be loaded", Because(model.detail()))});
      break;
    case v1::MODEL_STATE_UNLOADING:
      to.push_back({"model", absl::StrCat(name, " is being unloaded")});
      break;
    default:
      break;
  }
}

std::set<std::string> HostsOf(const v1::PlanStatus& plan) {
  std::set<std::string> hosts;
  for (const v1::DeviceShare& share : plan.shares()) hosts.insert(share.host());
  return hosts;
}

// What the plan's explanation says of a host that is in no plan: "Host beta gets nothing: ...".
std::string ReasonWithout(const v1::PlanStatus& plan, const std::string& host) {
  const std::string start = absl::StrCat("Host ", host, " ");
  for (const absl::string_view line : absl::StrSplit(plan.explanation(), '\n')) {
    if (absl::StartsWith(line, start)) return absl::StrCat(" ", Printable(line));
  }
  return "";
}

// "; it goes without beta, which is lost".
std::string Changes(const v1::PlanStatus& before, const v1::PlanStatus& plan, const HomeState& now) {
  const std::set<std::string> old_hosts = HostsOf(before), hosts = HostsOf(plan);
  std::string with, without, reasons;
  size_t named = 0;
  for (const std::string& host : hosts) {
    if (old_hosts.contains(host) || named++ >= kMaxNamed) continue;
    absl::StrAppend(&with, with.empty() ? "; now with " : ", ", Printable(host, kMaxNameBytes));
  }
  for (const std::string& host : old_hosts) {
    if (hosts.contains(host) || named++ >= kMaxNamed) continue;
    const v1::HostStatus* const status = FindHost(now, host);
    const bool lost = status == nullptr || status->state() == v1::HOST_STATE_LOST;
    absl::StrAppend(&without, without.empty() ? "; now without " : ", ", Printable(host, kMaxNameBytes),
                    lost ? ", which is lost" : "");
    if (!lost) reasons += ReasonWithout(plan, host);
  }
  if (with.empty() && without.empty()) return "; the same hosts hold other shares.";
  return absl::StrCat(with, without, ".", reasons);
}

void AddPlan(const v1::PlanStatus* before, const v1::PlanStatus& plan, const HomeState& now,
             std::vector<Happening>& to) {
  if (before != nullptr && before->epoch() == plan.epoch() && before->active() == plan.active()) return;
  std::string text = absl::StrCat("Plan ", plan.epoch(), " of ", Printable(plan.model(), kMaxNameBytes),
                                  plan.active() ? " is in use" : " is being set up");
  absl::StrAppendFormat(&text, ": %.3g ms per token expected", plan.expected_token_ms());
  const bool replaced = before != nullptr && before->epoch() != plan.epoch();
  to.push_back({"plan", absl::StrCat(text, replaced ? Changes(*before, plan, now) : ".")});
}

}  // namespace

std::vector<Happening> HappeningsBetween(const HomeState& before, const HomeState& after) {
  std::vector<Happening> found;
  for (const v1::HostStatus& host : after.cluster.hosts())
    AddHost(FindHost(before, host.name()), host, found);
  for (const v1::HostStatus& host : before.cluster.hosts()) {
    if (FindHost(after, host.name()) != nullptr) continue;
    found.push_back({"host-gone", absl::StrCat(Printable(host.name(), kMaxNameBytes), " has left")});
  }
  for (const v1::AwayHost& host : after.cluster.away()) AddWoken(before, host, found);
  for (const v1::ModelStatus& model : after.models.models()) {
    AddModel(Find(before.models.models(), model.name(), &v1::ModelStatus::name), model, found);
  }
  for (const v1::ModelStatus& model : before.models.models()) {
    if (Find(after.models.models(), model.name(), &v1::ModelStatus::name) != nullptr) continue;
    found.push_back({"model", absl::StrCat(Printable(model.name(), kMaxNameBytes), " is unloaded")});
  }
  for (const v1::PlanStatus& plan : after.cluster.plans()) {
    AddPlan(Find(before.cluster.plans(), plan.model(), &v1::PlanStatus::model), plan, after, found);
  }
  return found;
}

}  // namespace hearth
