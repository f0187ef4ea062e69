#ifndef HEARTH_DAEMON_MEMBERSHIP_ROSTER_CORE_H_
#define HEARTH_DAEMON_MEMBERSHIP_ROSTER_CORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/channel/link_probe.h"
#include "daemon/membership/link_figures.h"
#include "daemon/membership/membership.h"
#include "daemon/membership/worker_report.h"
#include "placement/cluster.h"

namespace hearth {

// What a coordinator decides about its workers: who may join and under which name, who is lost, whose link is
// to be measured, what is wanted of each. Pure: no clock, thread or socket; times are those of Membership.
// Not thread-safe. The shell around it is Roster.
class RosterCore {
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
  };

  // A worker now.
  struct Host {
    std::string name;
    Session session = 0;
    HostState state = HostState::kJoining;
    std::string detail;
    uint64_t silent_ms = 0;  // time since its last sync
    uint32_t losses = 0;
    std::string tensor_address;  // as the coordinator reaches it
    TensorTls tls;
    SessionToken token{};
    placement::Link link;   // measured, once it is alive
    HostCapacity capacity;  // what plans use: steady over sessions, see steady_figures.h
    WorkerReport report;    // the last
    std::string paused;     // until when, in words; empty: it is not
    uint64_t revision = 0;  // of what is wanted of it

    // Whether the report is about what is wanted of it now.
    bool up_to_date() const { return report.revision == revision; }
    // Why plans leave it out: it is paused, or can hold no shards; empty: they do not.
    const std::string& problem() const { return paused.empty() ? report.problem : paused; }
    // What it says about the shard of an epoch; null when it says nothing.
    const ShardStatus* Shard(uint64_t epoch) const;
  };

  // What a worker that calls shows besides its report.
  struct Caller {
    std::string address;  // of its tensor channel, as the coordinator reaches it
    TensorTls tls;
    SessionToken token{};  // drawn for its session
  };

  // A host that is told to take no part for a time.
  struct Pause {
    uint64_t until_ms = 0;
    std::string reason;  // in words

    bool operator==(const Pause&) const = default;
  };

  // What the calls since the last TakeEffects have led to.
  struct Effects {
    bool changed = false;         // a host's state, that of its shards or its link's figures
    bool measurable = false;      // a link that could not be measured before
    std::vector<Session> pushed;  // their desired state has changed
    std::vector<std::pair<Session, std::string>> lost;  // and why
  };

  // A link that is to be measured.
  struct Probe {
    Session session = 0;
    std::string address;
    SessionToken token{};
    TensorTls tls;
    ProbeEffort effort = ProbeEffort::kThorough;
  };

  explicit RosterCore(Options options);

  // ---- For the streams of workers. Errors: see Roster.

  absl::StatusOr<Session> Open(const WorkerReport& report, const Caller& caller, uint64_t now_ms);
  absl::Status Report(Session session, WorkerReport report, uint64_t now_ms);
  void Close(Session session, const std::string& reason);
  void Forget(const HostId& id);
  absl::StatusOr<DesiredShards> Desired(Session session, uint64_t known_revision) const;
  bool KnowsToken(const SessionToken& token) const;

  // ---- For clock and links.

  // Takes hosts that have been silent for too long for lost, and ends pauses that are over.
  void Tick(uint64_t now_ms);
  // When Tick will find the next pause over, or the next host lost if none syncs; nullopt when neither is
  // expected.
  std::optional<uint64_t> NextDeadline() const;
  // The link to measure now, which NoteProbe then tells of; else nullopt, and when to ask again unless
  // somebody reports before.
  std::pair<std::optional<Probe>, uint64_t> NextProbe(uint64_t now_ms);
  void NoteProbe(Session session, const absl::StatusOr<placement::Link>& link, uint64_t now_ms);

  // ---- For those who plan.

  // The hosts that are paused, by their ids, in place of those before.
  void SetPauses(std::map<std::string, Pause> pauses);
  std::vector<Host> hosts(uint64_t now_ms) const;  // by name
  // nullopt for a session that is no longer known.
  std::optional<Host> Find(Session session, uint64_t now_ms) const;
  // nullopt likewise; without copying what it reports.
  std::optional<HostState> StateOf(Session session) const;
  void SetShards(const std::string& model, std::map<std::string, std::vector<ShardDescription>> shards);

  Effects TakeEffects() { return std::exchange(effects_, {}); }

 private:
  struct Entry {
    Session session = 0;
    Caller caller;
    LinkFigures link;       // also of an earlier session
    HostCapacity steady;    // what it reported, see SteadyCapacity
    HostCapacity capacity;  // what of it is left beside other daemons of its machine
    bool link_probed = false;
    bool probing = false;
    uint64_t probe_after_ms = 0;
    WorkerReport report;
    uint64_t revision = 1;
    std::map<std::string, std::vector<ShardDescription>> shards;  // by model
  };

  Host MakeHost(const Membership::Member& member, const Entry& entry, uint64_t now_ms) const;
  absl::Status Recognise(const WorkerReport& report);
  std::string NameFor(const WorkerReport& report) const;
  uint64_t OfferedOn(const std::string& machine) const;
  void DropForgotten();
  Entry* FindEntry(Session session);
  const Entry* FindEntry(Session session) const;
  void Apply();

  const Options options_;
  Membership membership_;
  std::map<std::string, Entry> entries_;                     // by host name
  absl::flat_hash_map<Session, std::string> session_names_;  // of the entries
  std::map<std::string, Pause> pauses_;                      // by host id
  uint64_t last_revision_ = 1;
  Effects effects_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_ROSTER_CORE_H_
