#ifndef HEARTH_DAEMON_MEMBERSHIP_MEMBERSHIP_H_
#define HEARTH_DAEMON_MEMBERSHIP_MEMBERSHIP_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/cluster_view.h"

namespace hearth {

// Who is in the cluster and who is lost. Pure: no clock, thread or socket; times are passed in, in
// milliseconds of any clock that never goes back. Not thread-safe.
//
//                  Join                LinkMeasured
//   (unknown) ------------> joining ---------------> alive
//                              ^  |  Leave, no sync     |
//                         Join |  v  for lost_after_ms  |
//                             lost <--------------------+
//
// Every Join starts a session with a number of its own: what arrives late from a former session of the same
// host is told apart by it and ignored.
class Membership {
 public:
  using Session = uint64_t;

  struct Member {
    std::string name;
    Session session = 0;
    HostState state = HostState::kJoining;
    std::string detail;  // why it is in this state, in words
    uint64_t last_sync_ms = 0;
    uint32_t joins = 0;  // how often it has joined

    // How often it was lost.
    uint32_t losses() const { return joins - (state == HostState::kLost ? 0 : 1); }
  };

  // A change of state, for the log and for whoever plans.
  struct Event {
    std::string host;
    Session session = 0;
    HostState state = HostState::kJoining;
    std::string detail;
  };

  // `lost_after_ms`: how long a host may be silent.
  explicit Membership(uint64_t lost_after_ms) : lost_after_ms_(lost_after_ms) {}

  // Members, the lost ones among them.
  static constexpr size_t kMost = 1024;

  // A host calls: new, or one that was lost. Of kMost members the one that has been lost for longest is
  // forgotten to make room. INVALID_ARGUMENT for an empty name, ALREADY_EXISTS when a member of that name is
  // not lost, RESOURCE_EXHAUSTED when kMost hosts are there.
  absl::StatusOr<Session> Join(const std::string& name, uint64_t now_ms);
  // It has sent its state. False when the session is over: its host was taken for lost or has joined anew.
  bool Sync(Session session, uint64_t now_ms);
  // Its link was measured, or could not be (`problem`; it stays joining, and measuring is to be tried again).
  void LinkMeasured(Session session, const std::string& problem);
  // Its stream has ended.
  void Leave(Session session, const std::string& reason);
  // Takes hosts that have been silent for too long for lost.
  void Tick(uint64_t now_ms);

  // When Tick will find the next host lost if none syncs; nullopt when nobody is expected to.
  std::optional<uint64_t> NextDeadline() const;
  // The changes since the last call, in order.
  std::vector<Event> TakeEvents();

  // All members by name; one of them by its session, null when it is none's.
  const std::map<std::string, Member>& members() const { return members_; }
  const Member* Find(Session session) const;

 private:
  Member* FindLiving(Session session);
  bool MakeRoom();
  void Change(Member& member, HostState state, std::string detail);

  const uint64_t lost_after_ms_;
  Session last_session_ = 0;
  std::map<std::string, Member> members_;             // by name
  absl::flat_hash_map<Session, Member*> of_session_;  // the newest of each member
  std::vector<Event> events_;
};

// "joining", "alive", "lost".
std::string HostStateName(HostState state);

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_MEMBERSHIP_H_
