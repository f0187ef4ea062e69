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
#include "daemon/channel/remote_device.h"
#include "daemon/membership/link_figures.h"
#include "daemon/membership/membership.h"
#include "daemon/membership/worker_report.h"
#include "engine/base/mutex.h"
#include "placement/cluster.h"

namespace hearth {

// The coordinator's end of a worker's Synchronize stream. Thread-safe; harmless after the stream has ended.
class SessionStream {
 public:
  virtual ~SessionStream() = default;
  // The desired state has changed: send it.
  virtual void Push() = 0;
  virtual void End(const absl::Status& status) = 0;
};

// The workers of a cluster as its coordinator sees them: the shell around Membership with clock, threads and
// streams. Keeps what workers report and what is wanted of them. Two threads: one finds out who is lost, one
// measures links. Thread-safe.
class Roster {
 public:
  using Session = Membership::Session;

  struct Options {
    std::string version;  // that workers must have too
    uint32_t sync_interval_ms = 250;
    uint32_t lost_after_ms = 1200;
    // The coordinator's own host: its name and identity, and the memory that it offers.
    std::string name;
    HostIdentity identity;
    uint64_t offered_bytes = 0;
    uint32_t link_interval_ms = 3000;  // how often the links of hosts that are there are measured again
    TlsContext tls;                    // for the tensor channels of workers that call with a certificate
  };

  // A worker now.
  struct Host {
    std::string name;
    Session session = 0;
    HostState state = HostState::kJoining;
    std::string detail;
    uint64_t silent_ms = 0;      // time since its last sync
    std::string tensor_address;  // as the coordinator reaches it
    TensorTls tls;
    SessionToken token{};
    placement::Link link;   // measured, once it is alive
    HostCapacity capacity;  // what plans use: steady over sessions, see steady_figures.h
    WorkerReport report;    // the last
    uint64_t revision = 0;  // of what is wanted of it

    // Whether the report is about what is wanted of it now.
    bool up_to_date() const { return report.revision == revision; }
    // What it says about the shard of an epoch; null when it says nothing.
    const ShardStatus* Shard(uint64_t epoch) const;
  };

  explicit Roster(Options options);
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
  // nullopt for a session that is no longer known.
  std::optional<Host> Find(Session session) const;
  // The shards of `model` that each host (by name) is to hold, in place of those named before for this model.
  void SetShards(const std::string& model, std::map<std::string, std::vector<ShardDescription>> shards);
  // A tensor connection with the host has failed: it is lost, whatever its stream says.
  void ReportLost(Session session, const std::string& reason);
  // `close` is called (without locks) when the session is lost while `owner` lives; at once if it is lost
  // already.
  using LossHandler = std::function<void(const std::string& reason)>;
  void OnLost(Session session, std::weak_ptr<const void> owner, LossHandler close);

 private:
  struct Entry {
    Session session = 0;
    std::shared_ptr<SessionStream> stream;
    SessionToken token{};
    std::string tensor_address;
    TensorTls tls;
    LinkFigures link;       // also of an earlier session
    HostCapacity steady;    // what it reported, see SteadyCapacity
    HostCapacity capacity;  // what of it is left beside other daemons of its machine
    bool link_probed = false;
    bool probing = false;
    uint64_t probe_after_ms = 0;
    WorkerReport report;
    uint64_t revision = 1;
    std::map<std::string, std::vector<ShardDescription>> shards;  // by model
    std::vector<std::pair<std::weak_ptr<const void>, LossHandler>> on_lost;
  };
  // What is to be called once the lock is gone.
  struct Calls;

  void WatchLoop();
  void ProbeLoop();
  std::pair<Entry*, uint64_t> NextProbe(uint64_t now_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteProbe(Session session, const absl::StatusOr<placement::Link>& link, Calls& calls)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Host MakeHost(const Membership::Member& member, const Entry& entry) const;
  absl::StatusOr<Session> Enter(const WorkerReport& report, const std::string& address, const TensorTls& tls,
                                std::shared_ptr<SessionStream> stream, Calls& calls)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Recognise(const WorkerReport& report) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string NameFor(const WorkerReport& report) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t OfferedOn(const std::string& machine) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entry* FindEntry(Session session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Entry* FindEntry(Session session) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(Calls& calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run(const Calls& calls);

  const Options options_;
  std::function<void()> listener_;  // set before the threads start

  mutable Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  Membership membership_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);  // by host name
  uint64_t last_revision_ ABSL_GUARDED_BY(mutex_) = 1;
  std::thread watcher_;
  std::vector<std::thread> probers_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_ROSTER_H_
