#ifndef HEARTH_DAEMON_MEMBERSHIP_ROSTER_H_
#define HEARTH_DAEMON_MEMBERSHIP_ROSTER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/coordinator_addresses.h"
#include "daemon/membership/roster_core.h"
#include "engine/base/mutex.h"

namespace hearth {

// Whether HOST:PORT is this machine's alone.
bool IsOnLoopback(const std::string& address);

// The coordinator's end of a worker's Synchronize stream. Thread-safe; harmless after the stream has ended.
class SessionStream {
 public:
  virtual ~SessionStream() = default;
  // The desired state has changed: send it.
  virtual void Push() = 0;
  virtual void End(const absl::Status& status) = 0;
};

// The workers of a cluster as its coordinator sees them: the shell around RosterCore with clock, threads and
// streams. Two kinds of thread: one finds out who is lost, some measure links. Thread-safe.
class Roster {
 public:
  using Session = RosterCore::Session;
  using Host = RosterCore::Host;
  using Options = RosterCore::Options;

  // `tls` is for the tensor channels of workers that call with a certificate. `places_to_lead`: what workers
  // are told of; null: nothing.
  explicit Roster(Options options, TlsContext tls = nullptr,
                  std::function<PlacesToLead()> places_to_lead = nullptr);
  ~Roster();

  // `listener` is called without locks whenever a host changes its state or the state of its shards, or its
  // link its figures.
  void Start(std::function<void()> listener);
  // Ends all streams and threads; everybody who calls later is refused.
  void Stop();

  // ---- For the streams of workers.

  // A worker calls from `peer` (as gRPC names it) with its first report; `certified` is the id of the
  // certificate that it has shown, if any. Errors: see Membership::Join; PERMISSION_DENIED where it reports
  // another id;
  // ALREADY_EXISTS for the coordinator's own name and for a
  // copied state directory, FAILED_PRECONDITION for another version than the coordinator's, INVALID_ARGUMENT
  // for a tensor address elsewhere than where it calls from, UNAVAILABLE after Stop.
  absl::StatusOr<Session> Open(const WorkerReport& report, const std::string& peer,
                               std::shared_ptr<SessionStream> stream,
                               const std::optional<HostId>& certified = std::nullopt);
  // It reports. UNAVAILABLE when the session is over, INVALID_ARGUMENT when the report is another host's.
  absl::Status Report(Session session, WorkerReport report);
  void Close(Session session, const std::string& reason);
  // The host of this id was removed from the home: it is lost, whatever its stream says.
  void Forget(const HostId& id);
  // What is wanted of a host; `known_revision` is what it has.
  absl::StatusOr<DesiredShards> Desired(Session session, uint64_t known_revision) const;
  // Whether the token is that of a worker that is not lost.
  bool KnowsToken(const SessionToken& token) const;

  // ---- For those who plan.

  std::vector<Host> hosts() const;  // by name
  // The hosts that are paused and until when, by their ids, in place of those before; InfiniteFuture: until
  // they are resumed.
  void SetPauses(const std::map<std::string, absl::Time>& pauses);
  // nullopt for a session that is no longer known.
  std::optional<Host> Find(Session session) const;
  std::optional<HostState> StateOf(Session session) const;
  // The shards of `model` that each host (by name) is to hold, in place of those named before for this model.
  void SetShards(const std::string& model, std::map<std::string, std::vector<ShardDescription>> shards);
  // A tensor connection with the host has failed: it is lost, whatever its stream says.
  void ReportLost(Session session, const std::string& reason);
  // `close` is called (without locks) when the session is lost while `owner` lives; at once if it is lost
  // already.
  using LossHandler = std::function<void(const std::string& reason)>;
  void OnLost(Session session, std::weak_ptr<const void> owner, LossHandler close);

 private:
  // Of a session that is not lost.
  struct Line {
    std::shared_ptr<SessionStream> stream;
    bool encrypted = false;
    bool is_local = false;  // of this machine
    std::vector<std::pair<std::weak_ptr<const void>, LossHandler>> on_lost;
  };
  // What is to be called once the lock is gone.
  struct Calls;

  void WatchLoop();
  void ProbeLoop();
  Calls TakeCalls() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run(const Calls& calls);

  const TlsContext tls_;
  const std::function<PlacesToLead()> places_to_lead_;
  std::function<void()> listener_;  // set before the threads start

  mutable Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  RosterCore core_ ABSL_GUARDED_BY(mutex_);
  std::map<Session, Line> lines_ ABSL_GUARDED_BY(mutex_);
  std::thread watcher_;
  std::vector<std::thread> probers_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_ROSTER_H_
