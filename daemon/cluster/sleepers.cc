#include "daemon/cluster/sleepers.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "daemon/membership/membership.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

void WarnUnlessKept(const absl::Status& status) {
  if (!status.ok())
    spdlog::warn("hosts that can be woken are not remembered: {}", Printable(status.message()));
}

// What is worth being kept of a host that is there.
KnownHost Known(const Roster::Host& host) {
  KnownHost known;
  known.report.host = host.name;
  known.report.version = host.report.version;
  known.report.tensor_address = host.report.tensor_address;
  known.report.capacity = host.capacity;
  known.report.identity = host.report.identity;
  known.report.network_cards = host.report.network_cards;
  known.link = host.link;
  return known;
}

}  // namespace

Sleepers::Sleepers(std::shared_ptr<KeptHosts> kept) : kept_(std::move(kept)) {
  if (kept_ == nullptr) return;
  const auto hosts = kept_->Hosts();
  WarnUnlessKept(hosts.status());
  if (!hosts.ok()) return;
  MutexLock lock(&mutex_);
  for (const auto& [id, content] : *hosts) {
    absl::StatusOr<KnownHost> known = FromStored(content);
    WarnUnlessKept(known.status());
    if (known.ok() && entries_.size() < Membership::kMost) entries_[id].host.known = *std::move(known);
  }
}

void Sleepers::See(const std::vector<Roster::Host>& hosts) {
  MutexLock lock(&mutex_);
  for (const Roster::Host& host : hosts) {
    const std::string& id = host.report.identity.id;
    if (host.state != HostState::kAlive || IsOnLoopback(host.tensor_address) || id.empty() ||
        host.report.network_cards.empty())
      continue;
    const auto found = entries_.find(id);
    if (found == entries_.end() && entries_.size() >= Membership::kMost) continue;
    if (found != entries_.end() && found->second.session == host.session &&
        found->second.host.known.report.network_cards == host.report.network_cards)
      continue;
    const auto namesake = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
      return entry.first != id && entry.second.host.name() == host.name;
    });
    if (namesake != entries_.end()) {
      Keep(namesake->first);
      entries_.erase(namesake);
    }
    Entry& entry = entries_[id];
    entry = {{Known(host), entry.host.woken}, host.session};
    Keep(id);
  }
}

void Sleepers::Forget(const HostId& id) {
  MutexLock lock(&mutex_);
  if (entries_.erase(id.Text()) > 0) Keep(id.Text());
}

std::vector<Sleepers::Host> Sleepers::Away(const std::vector<Roster::Host>& hosts) const {
  std::set<std::string> there;
  for (const Roster::Host& host : hosts) {
    if (host.state != HostState::kLost) there.insert(host.report.identity.id);
  }
  std::vector<Host> away;
  MutexLock lock(&mutex_);
  for (const auto& [id, entry] : entries_) {
    if (!there.contains(id)) away.push_back(entry.host);
  }
  std::sort(away.begin(), away.end(), [](const Host& a, const Host& b) { return a.name() < b.name(); });
  return away;
}

void Sleepers::NoteWoken(const Host& host) {
  MutexLock lock(&mutex_);
  const auto found = entries_.find(host.known.report.identity.id);
  if (found != entries_.end()) found->second.host.woken = host.woken;
}

void Sleepers::Keep(const std::string& id) {
  if (kept_ == nullptr || !unwritten_.insert(id).second) return;
  writes_.Add([this, id] { Write(id); });
}

void Sleepers::Write(const std::string& id) {
  std::optional<std::string> content;
  {
    MutexLock lock(&mutex_);
    unwritten_.erase(id);
    if (const auto found = entries_.find(id); found != entries_.end())
      content = ToStored(found->second.host.known);
  }
  WarnUnlessKept(content ? kept_->PutHost(id, *content) : kept_->RemoveHost(id));
}

AwayHostView ViewOf(const Sleepers::Host& host) {
  AwayHostView view;
  view.name = host.name();
  view.woken = host.woken;
  for (const NetworkCard& card : host.known.report.network_cards) {
    view.macs.push_back(MacText(card.mac));
    if (card.wakes) view.wakes = view.wakes.value_or(false) || *card.wakes;
  }
  return view;
}

}  // namespace hearth
