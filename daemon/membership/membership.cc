#include "daemon/membership/membership.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {

std::string HostStateName(HostState state) {
  switch (state) {
    case HostState::kJoining:
      return "joining";
    case HostState::kAlive:
      return "alive";
    case HostState::kLost:
      return "lost";
  }
  return "unknown";
}

absl::StatusOr<Membership::Session> Membership::Join(const std::string& name, uint64_t now_ms) {
  HEARTH_RETURN_IF_ERROR(CheckName("--name", name));
  if (!members_.contains(name) && !MakeRoom()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the cluster has ", kMost, " hosts already, which is the most"));
  }
  Member& member = members_[name];
  if (member.joins > 0 && member.state != HostState::kLost) {
    return absl::AlreadyExistsError(
        absl::StrCat("a host called ", name, " is in the cluster already: give this one another --name"));
  }
  member.name = name;
  of_session_.erase(member.session);
  member.session = ++last_session_;
  of_session_[member.session] = &member;
  member.last_sync_ms = now_ms;
  ++member.joins;
  Change(member, HostState::kJoining,
         member.joins == 1 ? "new; measuring the link" : "back; measuring the link");
  return member.session;
}

// Lost hosts stay in the list, but a caller that invents names must not fill the memory. False where all
// places are taken by hosts that are there.
bool Membership::MakeRoom() {
  if (members_.size() < kMost) return true;
  auto oldest = members_.end();
  for (auto it = members_.begin(); it != members_.end(); ++it) {
    if (it->second.state != HostState::kLost) continue;
    if (oldest == members_.end() || it->second.last_sync_ms < oldest->second.last_sync_ms) oldest = it;
  }
  if (oldest == members_.end()) return false;
  of_session_.erase(oldest->second.session);
  members_.erase(oldest);
  return true;
}

bool Membership::Sync(Session session, uint64_t now_ms) {
  Member* member = FindLiving(session);
  if (member == nullptr) return false;
  member->last_sync_ms = now_ms;
  return true;
}

void Membership::LinkMeasured(Session session, const std::string& problem) {
  Member* member = FindLiving(session);
  if (member == nullptr || member->state != HostState::kJoining) return;
  if (problem.empty()) {
    Change(*member, HostState::kAlive, "");
  } else if (member->detail != problem) {
    Change(*member, HostState::kJoining, problem);
  }
}

void Membership::Leave(Session session, const std::string& reason) {
  if (Member* member = FindLiving(session)) Change(*member, HostState::kLost, reason);
}

void Membership::Tick(uint64_t now_ms) {
  for (auto& [name, member] : members_) {
    if (member.state == HostState::kLost || now_ms < member.last_sync_ms + lost_after_ms_) continue;
    Change(member, HostState::kLost, absl::StrCat("no sync for ", now_ms - member.last_sync_ms, " ms"));
  }
}

std::optional<uint64_t> Membership::NextDeadline() const {
  std::optional<uint64_t> deadline;
  for (const auto& [name, member] : members_) {
    if (member.state == HostState::kLost) continue;
    const uint64_t own = member.last_sync_ms + lost_after_ms_;
    deadline = std::min(deadline.value_or(own), own);
  }
  return deadline;
}

std::vector<Membership::Event> Membership::TakeEvents() { return std::exchange(events_, {}); }

const Membership::Member* Membership::Find(Session session) const {
  const auto found = of_session_.find(session);
  return found == of_session_.end() ? nullptr : found->second;
}

Membership::Member* Membership::FindLiving(Session session) {
  const auto found = of_session_.find(session);
  return found == of_session_.end() || found->second->state == HostState::kLost ? nullptr : found->second;
}

void Membership::Change(Member& member, HostState state, std::string detail) {
  member.state = state;
  member.detail = std::move(detail);
  events_.push_back({member.name, member.session, state, member.detail});
}

}  // namespace hearth
