#include "daemon/membership/roster.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/capacity/shared_machine.h"
#include "daemon/capacity/steady_figures.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/link_probe.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// How long to wait before a link that could not be measured is tried again.
constexpr uint64_t kProbeAgainMs = 1000;
// Links measured at the same time: a host that does not answer must not keep the others waiting.
constexpr size_t kProbers = 4;
// Characters of an id that tell hosts of one name apart.
constexpr size_t kShortId = 7;

uint64_t NowMs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

SessionToken NewToken() {
  SessionToken token;
  HEARTH_CHECK(RAND_bytes(token.data(), static_cast<int>(token.size())) == 1);
  return token;
}

// The host part of what gRPC calls a peer: "ipv4:192.168.1.5:4711", "ipv6:%5B::1%5D:4711" or
// "ipv6:[::1]:4711".
std::string PeerHost(std::string peer) {
  const size_t scheme = peer.find(':');
  if (scheme != std::string::npos) peer.erase(0, scheme + 1);
  for (const auto& [escaped, plain] : {std::pair{"%5B", "["}, std::pair{"%5D", "]"}}) {
    if (const size_t at = peer.find(escaped); at != std::string::npos) peer.replace(at, 3, plain);
  }
  const absl::StatusOr<HostPort> address = ParseHostPort(peer);
  if (!address.ok()) return "127.0.0.1";
  const std::string host = address->host.substr(0, address->host.find('%'));  // without an interface
  return absl::StartsWith(host, "::ffff:") ? host.substr(7) : host;           // IPv4 within IPv6
}

// Of an address in numbers: "127.example.org" is a name that may lead anywhere.
bool IsLoopback(const std::string& host) {
  return host == "::1" ||
         (absl::StartsWith(host, "127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

// Where the coordinator reaches a worker's tensor channel: where the worker calls from, at the port that it
// names. It may name the host too (an unspecified one stands for that), but not one that the coordinator
// would then call for it; names are not resolved.
absl::StatusOr<std::string> ReachableAddress(const std::string& tensor_address, const std::string& peer) {
  HEARTH_ASSIGN_OR_RETURN(HostPort address, ParseHostPort(tensor_address));
  const std::string caller = PeerHost(peer);
  if (address.host == "0.0.0.0" || address.host == "::") address.host = caller;
  if (address.host != caller && !(IsLoopback(address.host) && IsLoopback(caller))) {
    return absl::InvalidArgumentError(absl::StrCat("tensor_address: ", Printable(tensor_address),
                                                   " is not the address that this host calls from, ", caller,
                                                   ": give that one as --tensor-listen"));
  }
  return FormatHostPort(address);
}

// Whether two reports differ in more than counters and free bytes.
bool ShardsDiffer(const WorkerReport& a, const WorkerReport& b) {
  return !std::equal(a.shards.begin(), a.shards.end(), b.shards.begin(), b.shards.end(),
                     [](const ShardStatus& x, const ShardStatus& y) {
                       return x.epoch == y.epoch && x.phase == y.phase && x.detail == y.detail &&
                              x.bytes_done == y.bytes_done;
                     });
}

}  // namespace

struct Roster::Calls {
  bool changed = false;
  std::vector<std::pair<std::shared_ptr<SessionStream>, absl::Status>> ended;  // OK: push
  std::vector<std::pair<std::function<void(const std::string&)>, std::string>> lost;
};

const ShardStatus* Roster::Host::Shard(uint64_t epoch) const {
  for (const ShardStatus& shard : report.shards) {
    if (shard.epoch == epoch) return &shard;
  }
  return nullptr;
}

Roster::Roster(Options options) : options_(options), membership_(options.lost_after_ms) {}

Roster::~Roster() { Stop(); }

void Roster::Start(std::function<void()> listener) {
  listener_ = std::move(listener);
  watcher_ = std::thread([this] { WatchLoop(); });
  for (size_t i = 0; i < kProbers; ++i) probers_.emplace_back([this] { ProbeLoop(); });
}

void Roster::Stop() {
  Calls calls;
  {
    MutexLock lock(&mutex_);
    if (stopped_) return;
    stopped_ = true;
    for (auto& [name, entry] : entries_) {
      if (entry.stream)
        calls.ended.emplace_back(std::move(entry.stream), absl::UnavailableError("the coordinator stops"));
    }
  }
  changed_.SignalAll();
  Run(calls);
  if (watcher_.joinable()) watcher_.join();
  for (std::thread& prober : probers_) prober.join();
  probers_.clear();
}

absl::StatusOr<Roster::Session> Roster::Open(const WorkerReport& report, const std::string& peer,
                                             std::shared_ptr<SessionStream> stream,
                                             const std::optional<HostId>& certified) {
  if (certified && report.identity.id != certified->Text()) {
    return absl::PermissionDeniedError("host_id: not the one of the host's certificate");
  }
  HEARTH_ASSIGN_OR_RETURN(const std::string address, ReachableAddress(report.tensor_address, peer));
  Calls calls;
  absl::StatusOr<Session> session;
  {
    MutexLock lock(&mutex_);
    if (stopped_) return absl::UnavailableError("the coordinator stops");
    const TensorTls tls = certified ? TensorTls{options_.tls, *certified} : TensorTls();
    session = Enter(report, address, tls, std::move(stream), calls);
  }
  changed_.SignalAll();
  Run(calls);
  return session;
}

absl::StatusOr<Roster::Session> Roster::Enter(const WorkerReport& report, const std::string& address,
                                              const TensorTls& tls, std::shared_ptr<SessionStream> stream,
                                              Calls& calls) {
  if (report.version != options_.version) {
    return absl::FailedPreconditionError(absl::StrCat("the coordinator runs hearthd ", options_.version,
                                                      ", this host ", report.version,
                                                      ": install the same version on both"));
  }
  HEARTH_RETURN_IF_ERROR(Recognise(report));
  Apply(calls);  // what belongs to a former session, before its entry goes
  const std::string name = NameFor(report);
  HEARTH_ASSIGN_OR_RETURN(const Session session, membership_.Join(name, NowMs()));
  // Room was made for it, perhaps.
  std::erase_if(entries_, [&members = membership_.members()](const auto& entry) {
    return !members.contains(entry.first);
  });
  Entry entry;
  entry.session = session;
  entry.stream = std::move(stream);
  entry.token = NewToken();
  entry.tensor_address = address;
  entry.tls = tls;
  entry.report = report;
  entry.steady = report.capacity;
  if (const auto known = entries_.find(name); known != entries_.end()) {
    entry.link = known->second.link;
    entry.steady = SteadyCapacity(known->second.steady, report.capacity);
  }
  entry.capacity = entry.steady;
  OfferWhatIsLeft(OfferedOn(report.identity.machine), entry.capacity);
  entry.revision = ++last_revision_;
  entries_[name] = std::move(entry);
  Apply(calls);
  return session;
}

// Whether the host may join beside those that are there. One that was started anew before its former session
// was found lost takes that session's place.
absl::Status Roster::Recognise(const WorkerReport& report) {
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
std::string Roster::NameFor(const WorkerReport& report) const {
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
uint64_t Roster::OfferedOn(const std::string& machine) const {
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

absl::Status Roster::Report(Session session, WorkerReport report) {
  Calls calls;
  {
    MutexLock lock(&mutex_);
    Entry* entry = FindEntry(session);
    if (entry == nullptr || !membership_.Sync(session, NowMs())) {
      return absl::UnavailableError("this host was taken for lost; call again");
    }
    if (entry->report.host != report.host || entry->report.tensor_address != report.tensor_address ||
        !(entry->report.identity == report.identity)) {
      return absl::InvalidArgumentError(
          "a host's name, identity and tensor address cannot change during a session");
    }
    calls.changed = ShardsDiffer(entry->report, report) || entry->report.problem != report.problem;
    if (entry->report.problem != report.problem) {
      spdlog::info("host {}: {}", report.host,
                   report.problem.empty() ? "can hold shards again" : report.problem);
    }
    if (entry->report.revision == 0 && report.revision != 0)
      changed_.SignalAll();  // its link can be measured now
    entry->report = std::move(report);
  }
  Run(calls);
  return absl::OkStatus();
}

void Roster::Close(Session session, const std::string& reason) {
  Calls calls;
  {
    MutexLock lock(&mutex_);
    membership_.Leave(session, reason);
    Apply(calls);
  }
  Run(calls);
}

void Roster::Forget(const HostId& id) {
  Calls calls;
  {
    MutexLock lock(&mutex_);
    for (const auto& [name, entry] : entries_) {
      if (entry.report.identity.id == id.Text())
        membership_.Leave(entry.session, "it was removed from the home");
    }
    Apply(calls);
  }
  Run(calls);
}

void Roster::ReportLost(Session session, const std::string& reason) { Close(session, reason); }

absl::StatusOr<DesiredShards> Roster::Desired(Session session, uint64_t known_revision) const {
  MutexLock lock(&mutex_);
  const Entry* entry = FindEntry(session);
  if (entry == nullptr) return absl::UnavailableError("this host was taken for lost; call again");
  DesiredShards desired;
  desired.revision = entry->revision;
  desired.sync_interval_ms = options_.sync_interval_ms;
  desired.lost_after_ms = options_.lost_after_ms;
  desired.unchanged = known_revision == entry->revision;
  if (desired.unchanged) return desired;
  desired.token = entry->token;
  for (const auto& [model, shards] : entry->shards) {
    desired.shards.insert(desired.shards.end(), shards.begin(), shards.end());
  }
  return desired;
}

bool Roster::KnowsToken(const SessionToken& token) const {
  MutexLock lock(&mutex_);
  bool known = false;
  for (const auto& [name, member] : membership_.members()) {
    const Entry& entry = entries_.at(name);
    const bool equal = CRYPTO_memcmp(entry.token.data(), token.data(), token.size()) == 0;
    known |= equal && member.state != HostState::kLost;
  }
  return known;
}

std::vector<Roster::Host> Roster::hosts() const {
  MutexLock lock(&mutex_);
  std::vector<Host> hosts;
  for (const auto& [name, member] : membership_.members())
    hosts.push_back(MakeHost(member, entries_.at(name)));
  return hosts;
}

std::optional<Roster::Host> Roster::Find(Session session) const {
  MutexLock lock(&mutex_);
  const Entry* entry = FindEntry(session);
  if (entry == nullptr) return std::nullopt;
  return MakeHost(*membership_.Find(session), *entry);
}

Roster::Host Roster::MakeHost(const Membership::Member& member, const Entry& entry) const {
  Host host;
  host.name = member.name;
  host.session = member.session;
  host.state = member.state;
  host.detail = member.detail;
  host.silent_ms = NowMs() - member.last_sync_ms;
  host.tensor_address = entry.tensor_address;
  host.tls = entry.tls;
  host.token = entry.token;
  host.link = entry.link.now();
  host.capacity = entry.capacity;
  host.report = entry.report;
  host.revision = entry.revision;
  return host;
}

void Roster::SetShards(const std::string& model,
                       std::map<std::string, std::vector<ShardDescription>> shards) {
  Calls calls;
  {
    MutexLock lock(&mutex_);
    for (auto& [name, entry] : entries_) {
      const auto wanted = shards.find(name);
      std::vector<ShardDescription> next =
          wanted == shards.end() ? std::vector<ShardDescription>() : std::move(wanted->second);
      std::vector<ShardDescription>& current = entry.shards[model];
      // A model and an epoch say what a shard is.
      const bool same = std::equal(current.begin(), current.end(), next.begin(), next.end(),
                                   [](const auto& a, const auto& b) {
                                     return a.epoch == b.epoch && a.model_digest == b.model_digest;
                                   });
      if (!same) current = std::move(next);
      if (current.empty()) entry.shards.erase(model);  // models come and go under ever new names
      if (same) continue;
      entry.revision = ++last_revision_;
      if (entry.stream) calls.ended.emplace_back(entry.stream, absl::OkStatus());
    }
  }
  Run(calls);
}

void Roster::OnLost(Session session, std::weak_ptr<const void> owner, LossHandler close) {
  std::string reason = "its session is over";
  {
    MutexLock lock(&mutex_);
    const Membership::Member* member = membership_.Find(session);
    if (member != nullptr && member->state != HostState::kLost) {
      auto& handlers = FindEntry(session)->on_lost;
      // A session may outlive many plans.
      std::erase_if(handlers, [](const auto& handler) { return handler.first.expired(); });
      handlers.emplace_back(std::move(owner), std::move(close));
      return;
    }
    if (member != nullptr) reason = member->detail;
  }
  close(reason);
}

Roster::Entry* Roster::FindEntry(Session session) {
  for (auto& [name, entry] : entries_) {
    if (entry.session == session) return &entry;
  }
  return nullptr;
}

const Roster::Entry* Roster::FindEntry(Session session) const {
  return const_cast<Roster*>(this)->FindEntry(session);
}

// Turns membership's events into log lines and into calls to be made without the lock.
void Roster::Apply(Calls& calls) {
  for (const Membership::Event& event : membership_.TakeEvents()) {
    calls.changed = true;
    const std::string detail = event.detail.empty() ? "" : absl::StrCat(": ", event.detail);
    spdlog::info("host {} is {}{}", event.host, HostStateName(event.state), detail);
    Entry* entry = FindEntry(event.session);
    if (event.state != HostState::kLost || entry == nullptr) continue;
    entry->shards.clear();
    if (entry->stream) {
      calls.ended.emplace_back(
          std::move(entry->stream),
          absl::UnavailableError(absl::StrCat("this host was taken for lost: ", event.detail)));
    }
    for (auto& [owner, close] : entry->on_lost) {
      if (!owner.expired()) calls.lost.emplace_back(std::move(close), event.detail);
    }
    entry->on_lost.clear();
  }
}

void Roster::Run(const Calls& calls) {
  for (const auto& [close, reason] : calls.lost) close(reason);
  for (const auto& [stream, status] : calls.ended) {
    if (status.ok()) {
      stream->Push();
    } else {
      stream->End(status);
    }
  }
  if (calls.changed && listener_) listener_();
}

void Roster::WatchLoop() {
  MutexLock lock(&mutex_);
  while (!stopped_) {
    const uint64_t now = NowMs();
    membership_.Tick(now);
    Calls calls;
    Apply(calls);
    if (calls.changed) {
      lock.Unlock();
      Run(calls);
      lock.Lock();
      continue;
    }
    // Nobody can be found lost before the deadline, except hosts that join meanwhile: they come with a
    // notification.
    const uint64_t wait_ms = membership_.NextDeadline().value_or(now + 60000) - now;
    changed_.WaitFor(&mutex_, std::chrono::milliseconds(std::max<uint64_t>(wait_ms, 1)));
  }
}

// Whose link is to be measured now, or nobody's and how long that will be so.
std::pair<Roster::Entry*, uint64_t> Roster::NextProbe(uint64_t now_ms) {
  uint64_t wait_ms = 60000;
  for (auto& [name, member] : membership_.members()) {
    Entry& entry = entries_.at(name);
    // A worker learns the session's token with the first desired state; before that it would refuse the
    // connection.
    if (member.state == HostState::kLost || entry.probing || entry.report.revision == 0) continue;
    if (entry.probe_after_ms <= now_ms) return {&entry, 0};
    wait_ms = std::min(wait_ms, entry.probe_after_ms - now_ms);
  }
  return {nullptr, wait_ms};
}

// A link that cannot be measured any more says nothing by itself: whether a host is lost is the streams'
// business.
void Roster::NoteProbe(Session session, const absl::StatusOr<placement::Link>& link, Calls& calls) {
  Entry* entry = FindEntry(session);
  if (entry == nullptr) return;
  const bool joining = !std::exchange(entry->link_probed, entry->link_probed || link.ok());
  entry->probing = false;
  entry->probe_after_ms = NowMs() + (entry->link_probed ? options_.link_interval_ms : kProbeAgainMs);
  if (link.ok() && entry->link.Add(*link) && !joining) {
    spdlog::info("host {}: its link has changed: a round trip takes {:.0f} us, {:.1f} MB/s",
                 entry->report.host, link->round_trip_us, link->bytes_per_s / 1e6);
    calls.changed = true;
  }
  if (joining) membership_.LinkMeasured(session, std::string(link.status().message()));
}

void Roster::ProbeLoop() {
  MutexLock lock(&mutex_);
  while (!stopped_) {
    const auto [next, wait_ms] = NextProbe(NowMs());
    if (next == nullptr) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(wait_ms));
      continue;
    }
    const Session session = next->session;
    const std::string address = next->tensor_address;
    const SessionToken token = next->token;
    const TensorTls tls = next->tls;
    const ProbeEffort effort = next->link_probed ? ProbeEffort::kQuick : ProbeEffort::kThorough;
    next->probing = true;
    lock.Unlock();
    const absl::StatusOr<placement::Link> link = ProbeLink(address, token, tls, effort);
    lock.Lock();
    Calls calls;
    NoteProbe(session, link, calls);
    Apply(calls);
    lock.Unlock();
    Run(calls);
    lock.Lock();
  }
}

}  // namespace hearth
