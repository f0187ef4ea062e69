#ifndef HEARTH_DAEMON_PLANNING_HOST_TRIALS_H_
#define HEARTH_DAEMON_PLANNING_HOST_TRIALS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "placement/cluster.h"
#include "placement/objective.h"

namespace hearth {

// What a step of a kind took.
struct StepTime {
  placement::Objective step;
  double us = 0;
};

// Leaves out hosts that plans expect to help and that in truth do not: figures know neither what waking up
// costs nor who else uses a link. Where tokens take far longer than their plan expects, and less is expected
// without one of its hosts, that host is left out on trial. If tokens take less then, it stays out for half
// a minute, and for twice as long after each further trial, up to ten minutes; else it is taken back and
// trusted for ten minutes. Either ends when the host starts anew or its link's figures change. So a host that
// never pays costs little, and one that was busy is back soon. Steps are set beside steps of their kind; a
// trial waits for such ones. Pure: time is passed in. Not thread-safe.
class HostTrials {
 public:
  using Hosts = std::set<std::string>;
  // What is expected of such a step, in microseconds, when a host is left out; nullopt: the model does not
  // fit then.
  using ExpectedWithout = std::function<std::optional<double>(const std::string& host)>;

  // A host that is there, as it is now.
  void See(const std::string& host, uint64_t session, const placement::Link& link);
  // Steps take what was measured under a plan of the leader and `hosts` that expects `expected_us` of them.
  void Judge(const Hosts& hosts, const StepTime& measured, double expected_us, const ExpectedWithout& without,
             absl::Time now);
  // Forgets what is over.
  void Expire(absl::Time now);

  bool LeavesOut(const std::string& host) const;
  // A sentence for each host that is left out: why, with the figures.
  std::vector<std::string> Reasons() const;
  // When the next verdict is forgotten; InfiniteFuture without any.
  absl::Time NextExpiry() const;
  // Grows whenever a host is left out or taken back.
  uint64_t version() const { return version_; }

 private:
  enum class State { kOnTrial, kLeftOut, kTrusted };
  struct Trial {
    State state = State::kOnTrial;
    placement::Objective step;
    double with_us = 0;     // measured
    double without_us = 0;  // expected; measured once it is left out for good
    absl::Time until;
  };
  // How often a host has been left out of late.
  struct Record {
    int times = 0;
    absl::Time last;
  };
  struct Figures {
    uint64_t session = 0;
    placement::Link link;

    bool operator==(const Figures&) const = default;
  };

  // True when a trial that runs has been decided, or waits for the plan without its host.
  bool Continue(const Hosts& hosts, const StepTime& measured, absl::Time now);
  void Forget(const std::string& host);

  std::map<std::string, Trial> trials_;
  std::map<std::string, Record> records_;
  std::map<std::string, Figures> seen_;  // as many as membership admits
  // The plan whose hosts were looked at in vain, and what it took.
  Hosts looked_at_;
  StepTime looked_at_step_ = {};
  uint64_t version_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_HOST_TRIALS_H_
