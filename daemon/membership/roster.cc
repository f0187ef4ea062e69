#include "daemon/membership/roster.h"

#include <openssl/rand.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/peer_host.h"
#include "daemon/membership/pauses.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// Links measured at the same time: a host that does not answer must not keep the others waiting.
constexpr size_t kProbers = 4;

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

// Who has no address calls from within this machine.
std::string CallerHost(const std::string& peer) { return PeerHost(peer).value_or("127.0.0.1"); }

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
  const std::string caller = CallerHost(peer);
  if (address.host == "0.0.0.0" || address.host == "::") address.host = caller;
  if (address.host != caller && !(IsLoopback(address.host) && IsLoopback(caller))) {
    return absl::InvalidArgumentError(absl::StrCat("tensor_address: ", Printable(tensor_address),
                                                   " is not the address that this host calls from, ", caller,
                                                   ": give that one as --tensor-listen"));
  }
  return FormatHostPort(address);
}

}  // namespace

bool IsOnLoopback(const std::string& address) {
  const absl::StatusOr<HostPort> parts = ParseHostPort(address);
  return parts.ok() && IsLoopback(parts->host);
}

struct Roster::Calls {
  bool changed = false;
  std::vector<std::pair<std::shared_ptr<SessionStream>, absl::Status>> streams;  // OK: push, else end
  std::vector<std::pair<LossHandler, std::string>> lost;
};

Roster::Roster(Options options, TlsContext tls, std::function<PlacesToLead()> places_to_lead)
    : tls_(std::move(tls)), places_to_lead_(std::move(places_to_lead)), core_(std::move(options)) {}

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
    for (auto& [session, line] : lines_) {
      calls.streams.emplace_back(std::move(line.stream), absl::UnavailableError("the coordinator stops"));
    }
    lines_.clear();
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
  const TensorTls tls = certified ? TensorTls{tls_, *certified} : TensorTls();
  Calls calls;
  absl::StatusOr<Session> session;
  {
    MutexLock lock(&mutex_);
    if (stopped_) return absl::UnavailableError("the coordinator stops");
    session = core_.Open(report, {address, tls, NewToken()}, NowMs());
    if (session.ok())
      lines_[*session] = {std::move(stream), certified.has_value(), IsLoopback(CallerHost(peer)), {}};
    calls = TakeCalls();
  }
  changed_.SignalAll();
  Run(calls);
  return session;
}

absl::Status Roster::Report(Session session, WorkerReport report) {
  Calls calls;
  absl::Status status;
  {
    MutexLock lock(&mutex_);
    status = core_.Report(session, std::move(report), NowMs());
    calls = TakeCalls();
  }
  Run(calls);
  return status;
}

void Roster::Close(Session session, const std::string& reason) {
  Calls calls;
  {
    MutexLock lock(&mutex_);
    core_.Close(session, reason);
    calls = TakeCalls();
  }
  Run(calls);
}

void Roster::Forget(const HostId& id) {
  Calls calls;
  {
    MutexLock lock(&mutex_);
    core_.Forget(id);
    calls = TakeCalls();
  }
  Run(calls);
}

void Roster::SetPauses(const std::map<std::string, absl::Time>& pauses) {
  std::map<std::string, RosterCore::Pause> paused;
  const absl::Time now = absl::Now();
  for (const auto& [id, until] : pauses) {
    RosterCore::Pause& pause = paused[id];
    pause.reason = PauseReason(until);
    pause.until_ms =
        until == absl::InfiniteFuture()
            ? std::numeric_limits<uint64_t>::max()
            : NowMs() + static_cast<uint64_t>(std::max<int64_t>(absl::ToInt64Milliseconds(until - now), 0));
  }
  Calls calls;
  {
    MutexLock lock(&mutex_);
    core_.SetPauses(std::move(paused));
    calls = TakeCalls();
  }
  changed_.SignalAll();
  Run(calls);
}

void Roster::ReportLost(Session session, const std::string& reason) { Close(session, reason); }

absl::StatusOr<DesiredShards> Roster::Desired(Session session, uint64_t known_revision) const {
  PlacesToLead places;
  if (places_to_lead_) places = places_to_lead_();
  MutexLock lock(&mutex_);
  HEARTH_ASSIGN_OR_RETURN(DesiredShards desired, core_.Desired(session, known_revision));
  const auto line = lines_.find(session);
  if (line == lines_.end()) return desired;
  desired.coordinators = std::move(line->second.encrypted ? places.encrypted : places.plain);
  desired.term = std::move(places.term);
  // This machine's loopback is not another one's.
  if (!line->second.is_local) std::erase_if(desired.coordinators, IsOnLoopback);
  return desired;
}

bool Roster::KnowsToken(const SessionToken& token) const {
  MutexLock lock(&mutex_);
  return core_.KnowsToken(token);
}

std::vector<Roster::Host> Roster::hosts() const {
  MutexLock lock(&mutex_);
  return core_.hosts(NowMs());
}

std::optional<Roster::Host> Roster::Find(Session session) const {
  MutexLock lock(&mutex_);
  return core_.Find(session, NowMs());
}

std::optional<HostState> Roster::StateOf(Session session) const {
  MutexLock lock(&mutex_);
  return core_.StateOf(session);
}

void Roster::SetShards(const std::string& model,
                       std::map<std::string, std::vector<ShardDescription>> shards) {
  Calls calls;
  {
    MutexLock lock(&mutex_);
    core_.SetShards(model, std::move(shards));
    calls = TakeCalls();
  }
  Run(calls);
}

void Roster::OnLost(Session session, std::weak_ptr<const void> owner, LossHandler close) {
  std::string reason = "its session is over";
  {
    MutexLock lock(&mutex_);
    if (const auto line = lines_.find(session); line != lines_.end()) {
      auto& handlers = line->second.on_lost;
      // A session may outlive many plans.
      std::erase_if(handlers, [](const auto& handler) { return handler.first.expired(); });
      handlers.emplace_back(std::move(owner), std::move(close));
      return;
    }
    if (const auto host = core_.Find(session, NowMs())) reason = host->detail;
  }
  close(reason);
}

Roster::Calls Roster::TakeCalls() {
  RosterCore::Effects effects = core_.TakeEffects();
  if (effects.measurable) changed_.SignalAll();
  Calls calls;
  calls.changed = effects.changed;
  for (const Session session : effects.pushed) {
    if (const auto line = lines_.find(session); line != lines_.end())
      calls.streams.emplace_back(line->second.stream, absl::OkStatus());
  }
  for (const auto& [session, reason] : effects.lost) {
    const auto line = lines_.find(session);
    if (line == lines_.end()) continue;
    calls.streams.emplace_back(
        std::move(line->second.stream),
        absl::UnavailableError(absl::StrCat("this host was taken for lost: ", reason)));
    for (auto& [owner, close] : line->second.on_lost) {
      if (!owner.expired()) calls.lost.emplace_back(std::move(close), reason);
    }
    lines_.erase(line);
  }
  return calls;
}

void Roster::Run(const Calls& calls) {
  for (const auto& [close, reason] : calls.lost) close(reason);
  for (const auto& [stream, status] : calls.streams) {
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
    core_.Tick(now);
    const Calls calls = TakeCalls();
    if (calls.changed) {
      lock.Unlock();
      Run(calls);
      lock.Lock();
      continue;
    }
    // Nobody can be found lost before the deadline, except hosts that join meanwhile: they come with a
    // notification.
    const uint64_t wait_ms = core_.NextDeadline().value_or(now + 60000) - now;
    changed_.WaitFor(&mutex_, std::chrono::milliseconds(std::max<uint64_t>(wait_ms, 1)));
  }
}

void Roster::ProbeLoop() {
  MutexLock lock(&mutex_);
  while (!stopped_) {
    const uint64_t now = NowMs();
    const auto [probe, ask_again_ms] = core_.NextProbe(now);
    if (!probe) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(ask_again_ms - now));
      continue;
    }
    lock.Unlock();
    const absl::StatusOr<placement::Link> link =
        ProbeLink(probe->address, probe->token, probe->tls, probe->effort);
    lock.Lock();
    core_.NoteProbe(probe->session, link, NowMs());
    const Calls calls = TakeCalls();
    lock.Unlock();
    Run(calls);
    lock.Lock();
  }
}

}  // namespace hearth
