#include "daemon/membership/roster_core.h"

#include <openssl/crypto.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/capacity/shared_machine.h"
#include "daemon/capacity/steady_figures.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// How long to wait before a link that could not be measured is tried again.
constexpr uint64_t kProbeAgainMs = 1000;
// How long nobody looks where no link is to be measured.
constexpr uint64_t kNoProbeMs = 60000;
// Characters of an id that tell hosts of one name apart.
constexpr size_t kShortId = 7;

// Whether two reports differ in more than counters and free bytes.
bool ShardsDiffer(const WorkerReport& a, const WorkerReport& b) {
  return !std::equal(a.shards.begin(), a.shards.end(), b.shards.begin(), b.shards.end(),
                     [](const ShardStatus& x, const ShardStatus& y) {
                       return x.epoch == y.epoch && x.phase == y.phase && x.detail == y.detail &&
                              x.bytes_done == y.bytes_done && x.short_bytes == y.short_bytes;
                     });
}

// What a report leaves out of what devices have seen stays as it was.
void KeepFiring(WorkerReport& before, WorkerReport& now) {
  std::map<std::pair<uint64_t, std::string>, DeviceWork*> known;  // by epoch and device
  for (ShardStatus& shard : before.shards) {
    for (DeviceWork& work : shard.devices) known.emplace(std::pair(shard.epoch, work.device), &work);
  }
  for (ShardStatus& shard : now.shards) {
    for (DeviceWork& work : shard.devices) {
      const auto same = known.find({shard.epoch, work.device});
      if (work.firing.empty() && same != known.end()) work.firing = std::move(same->second->firing);
    }
  }
}

absl::Status SessionIsOver() { return absl::UnavailableError("this host was taken for lost; call again"); }

}  // namespace

const ShardStatus* RosterCore::Host::Shard(uint64_t epoch) const {
  for (const ShardStatus& shard : report.shards) {
    if (shard.epoch == epoch) return &shard;
  }
  return nullptr;
}

RosterCore::RosterCore(Options options) : options_(std::move(options)), membership_(options_.lost_after_ms) {}

absl::StatusOr<RosterCore::Session> RosterCore::Open(const WorkerReport& report, const Caller& caller,
                                                     uint64_t now_ms) {
  if (report.version != options_.version) {
    return absl::FailedPreconditionError(absl::StrCat("the coordinator runs hearthd ", options_.version,
                                                      ", this host ", report.version,
                                                      ": install the same version on both"));
  }
  HEARTH_RETURN_IF_ERROR(Recognise(report));
  Apply();  // what belongs to a former session, before its entry goes
  const std::string name = NameFor(report);
  HEARTH_ASSIGN_OR_RETURN(const Session session, membership_.Join(name, now_ms));
  DropForgotten();
  Entry entry;
  entry.session = session;
  entry.caller = caller;
  entry.report = report;
  entry.steady = report.capacity;
  if (const auto known = entries_.find(name); known != entries_.end()) {
    entry.link = known->second.link;
    entry.steady = SteadyCapacity(known->second.steady, report.capacity);
    session_names_.erase(known->second.session);
  }
  entry.capacity = entry.steady;
  OfferWhatIsLeft(OfferedOn(report.identity.machine), entry.capacity);
  entry.revision = ++last_revision_;
  session_names_[session] = name;
  entries_[name] = std::move(entry);
  Apply();
  return session;
}

// Of hosts for which Membership has made room.
void RosterCore::DropForgotten() {
  if (entries_.size() < membership_.members().size()) return;
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (membership_.members().contains(it->first)) {
      ++it;
      continue;
    }
    session_names_.erase(it->second.session);
    it = entries_.erase(it);
  }
}

// Whether the host may join beside those that are there. One that was started anew before its former session
// was found lost takes that session's place.
absl::Status RosterCore::Recognise(const WorkerReport& report) {
  if (report.host == options_.name) {
    return absl::AlreadyExistsError(
        absl::StrCat("the coordinator itself is called ", report.host, ": give this host another --name"));
  }
  const std::string& id = report.identity.id;
  if (id.empty()) return absl::OkStatus();
  const auto copied = [](const std::string& other) {
    return absl::AlreadyExistsError(
        absl::StrCat("the state directory of this host is a copy of that of host ", other,
                     ": delete its folder identity, or choose another --state-dir"));
  };
  if (id == options_.identity.id) return copied(options_.name);
  for (const auto& [name, member] : membership_.members()) {
    const HostIdentity& known = entries_.at(name).report.identity;
    if (member.state == HostState::kLost || known.id != id) continue;
    if (known.home != report.identity.home) return copied(name);
    membership_.Leave(member.session, "it was started anew");
    break;
  }
  return absl::OkStatus();
}

// What the host is called in the cluster: a name stays with the host that had it, lost or not. Another one
// that is called so as well has a part of its id behind it, then and whenever it returns.
std::string RosterCore::NameFor(const WorkerReport& report) const {
  const std::string& id = report.identity.id;
  const auto owner = entries_.find(report.host);
  const bool is_free = owner == entries_.end() || owner->second.report.identity.id == id;
  if (id.empty() || is_free || owner->second.report.identity.id.empty()) return report.host;
  const std::string name = absl::StrCat(report.host, "-", id.substr(0, kShortId));
  // While the owner is there and this one is not known yet, it is refused: people ought to name their hosts.
  const bool owner_is_lost = membership_.members().at(report.host).state == HostState::kLost;
  return owner_is_lost || entries_.contains(name) ? name : report.host;
}

// Memory that the living daemons of a machine offer already.
uint64_t RosterCore::OfferedOn(const std::string& machine) const {
  if (machine.empty()) return 0;
  uint64_t bytes = machine == options_.identity.machine ? options_.offered_bytes : 0;
  for (const auto& [name, member] : membership_.members()) {
    const auto found = entries_.find(name);
    if (member.state == HostState::kLost || found == entries_.end()) continue;
    if (found->second.session != member.session || found->second.report.identity.machine != machine) continue;
    bytes += OfferedBytes(found->second.capacity);
  }
  return bytes;
}

absl::Status RosterCore::Report(Session session, WorkerReport report, uint64_t now_ms) {
  Entry* entry = FindEntry(session);
  if (entry == nullptr || !membership_.Sync(session, now_ms)) return SessionIsOver();
  if (entry->report.host != report.host || entry->report.tensor_address != report.tensor_address ||
      !(entry->report.identity == report.identity)) {
    return absl::InvalidArgumentError(
        "a host's name, identity and tensor address cannot change during a session");
  }
  effects_.changed |= ShardsDiffer(entry->report, report) || entry->report.problem != report.problem ||
                      entry->report.network_cards != report.network_cards;
  if (entry->report.problem != report.problem) {
    spdlog::info("host {}: {}", report.host,
                 report.problem.empty() ? "can hold shards again" : report.problem);
  }
  effects_.measurable |= entry->report.revision == 0 && report.revision != 0;
  KeepFiring(entry->report, report);
  entry->report = std::move(report);
  return absl::OkStatus();
}

void RosterCore::Close(Session session, const std::string& reason) {
  membership_.Leave(session, reason);
  Apply();
}

void RosterCore::Forget(const HostId& id) {
  for (const auto& [name, entry] : entries_) {
    if (entry.report.identity.id == id.Text())
      membership_.Leave(entry.session, "it was removed from the home");
  }
  Apply();
}

void RosterCore::Tick(uint64_t now_ms) {
  membership_.Tick(now_ms);
  effects_.changed |=
      std::erase_if(pauses_, [&](const auto& pause) { return pause.second.until_ms <= now_ms; }) > 0;
  Apply();
}

std::optional<uint64_t> RosterCore::NextDeadline() const {
  std::optional<uint64_t> next = membership_.NextDeadline();
  for (const auto& [id, pause] : pauses_) next = std::min(next.value_or(pause.until_ms), pause.until_ms);
  return next;
}

void RosterCore::SetPauses(std::map<std::string, Pause> pauses) {
  if (pauses_ == pauses) return;
  pauses_ = std::move(pauses);
  effects_.changed = true;
}

absl::StatusOr<DesiredShards> RosterCore::Desired(Session session, uint64_t known_revision) const {
  const Entry* entry = FindEntry(session);
  if (entry == nullptr) return SessionIsOver();
  DesiredShards desired;
  desired.revision = entry->revision;
  desired.sync_interval_ms = options_.sync_interval_ms;
  desired.lost_after_ms = options_.lost_after_ms;
  desired.unchanged = known_revision == entry->revision;
  if (desired.unchanged) return desired;
  desired.token = entry->caller.token;
  for (const auto& [model, shards] : entry->shards) {
    desired.shards.insert(desired.shards.end(), shards.begin(), shards.end());
  }
  return desired;
}

bool RosterCore::KnowsToken(const SessionToken& token) const {
  bool known = false;
  for (const auto& [name, member] : membership_.members()) {
    const Entry& entry = entries_.at(name);
    const bool equal = CRYPTO_memcmp(entry.caller.token.data(), token.data(), token.size()) == 0;
    known |= equal && member.state != HostState::kLost;
  }
  return known;
}

std::vector<RosterCore::Host> RosterCore::hosts(uint64_t now_ms) const {
  std::vector<Host> hosts;
  hosts.reserve(entries_.size());
  for (const auto& [name, member] : membership_.members())
    hosts.push_back(MakeHost(member, entries_.at(name), now_ms));
  return hosts;
}

std::optional<RosterCore::Host> RosterCore::Find(Session session, uint64_t now_ms) const {
  const Entry* entry = FindEntry(session);
  if (entry == nullptr) return std::nullopt;
  return MakeHost(*membership_.Find(session), *entry, now_ms);
}

std::optional<HostState> RosterCore::StateOf(Session session) const {
  const Membership::Member* member = membership_.Find(session);
  return member == nullptr ? std::nullopt : std::optional(member->state);
}

RosterCore::Host RosterCore::MakeHost(const Membership::Member& member, const Entry& entry,
                                      uint64_t now_ms) const {
  Host host;
  host.name = member.name;
  host.session = member.session;
  host.state = member.state;
  host.detail = member.detail;
  host.silent_ms = now_ms - member.last_sync_ms;
  host.losses = member.losses();
  host.tensor_address = entry.caller.address;
  host.tls = entry.caller.tls;
  host.token = entry.caller.token;
  host.link = entry.link.now();
  host.capacity = entry.capacity;
  host.report = entry.report;
  const auto pause = pauses_.find(entry.report.identity.id);
  if (pause != pauses_.end()) host.paused = pause->second.reason;
  host.revision = entry.revision;
  return host;
}

void RosterCore::SetShards(const std::string& model,
                           std::map<std::string, std::vector<ShardDescription>> shards) {
  for (auto& [name, entry] : entries_) {
    const auto wanted = shards.find(name);
    std::vector<ShardDescription> next =
        wanted == shards.end() ? std::vector<ShardDescription>() : std::move(wanted->second);
    std::vector<ShardDescription>& current = entry.shards[model];
    // A model and an epoch say what a shard is.
    const bool same = std::equal(
        current.begin(), current.end(), next.begin(), next.end(),
        [](const auto& a, const auto& b) { return a.epoch == b.epoch && a.model_digest == b.model_digest; });
    if (!same) current = std::move(next);
    if (current.empty()) entry.shards.erase(model);  // models come and go under ever new names
    if (same) continue;
    entry.revision = ++last_revision_;
    effects_.pushed.push_back(entry.session);
  }
}

RosterCore::Entry* RosterCore::FindEntry(Session session) {
  const auto name = session_names_.find(session);
  return name == session_names_.end() ? nullptr : &entries_.at(name->second);
}

const RosterCore::Entry* RosterCore::FindEntry(Session session) const {
  return const_cast<RosterCore*>(this)->FindEntry(session);
}

// Turns membership's events into log lines and effects.
void RosterCore::Apply() {
  for (const Membership::Event& event : membership_.TakeEvents()) {
    effects_.changed = true;
    const std::string detail = event.detail.empty() ? "" : absl::StrCat(": ", event.detail);
    spdlog::info("host {} is {}{}", event.host, HostStateName(event.state), detail);
    Entry* entry = FindEntry(event.session);
    if (event.state != HostState::kLost || entry == nullptr) continue;
    entry->shards.clear();
    effects_.lost.emplace_back(event.session, event.detail);
  }
}

// Those that have not been measured yet come first, then those that wait for longest: where there are more
// links than time, none of them is forgotten.
std::pair<std::optional<RosterCore::Probe>, uint64_t> RosterCore::NextProbe(uint64_t now_ms) {
  uint64_t ask_again_ms = now_ms + kNoProbeMs;
  Entry* next = nullptr;
  for (const auto& [name, member] : membership_.members()) {
    Entry& entry = entries_.at(name);
    // A worker learns the session's token with the first desired state; before that it would refuse the
    // connection.
    if (member.state == HostState::kLost || entry.probing || entry.report.revision == 0) continue;
    ask_again_ms = std::min(ask_again_ms, entry.probe_after_ms);
    if (entry.probe_after_ms > now_ms) continue;
    const auto turn = [](const Entry& of) { return std::pair(of.link_probed, of.probe_after_ms); };
    if (next == nullptr || turn(entry) < turn(*next)) next = &entry;
  }
  if (next == nullptr) return {std::nullopt, ask_again_ms};
  next->probing = true;
  return {Probe{next->session, next->caller.address, next->caller.token, next->caller.tls,
                next->link_probed ? ProbeEffort::kQuick : ProbeEffort::kThorough},
          now_ms};
}

// A link that cannot be measured any more says nothing by itself: whether a host is lost is the streams'
// business.
void RosterCore::NoteProbe(Session session, const absl::StatusOr<placement::Link>& link, uint64_t now_ms) {
  Entry* entry = FindEntry(session);
  if (entry == nullptr) return;
  const bool joining = !std::exchange(entry->link_probed, entry->link_probed || link.ok());
  entry->probing = false;
  entry->probe_after_ms = now_ms + (entry->link_probed ? options_.link_interval_ms : kProbeAgainMs);
  if (link.ok() && entry->link.Add(*link) && !joining) {
    spdlog::info("host {}: its link has changed: a round trip takes {:.0f} us, {:.1f} MB/s",
                 entry->report.host, link->round_trip_us, link->bytes_per_s / 1e6);
    effects_.changed = true;
  }
  if (joining) membership_.LinkMeasured(session, std::string(link.status().message()));
  Apply();
}

}  // namespace hearth
