#ifndef HEARTH_DAEMON_CLUSTER_SLEEPERS_H_
#define HEARTH_DAEMON_CLUSTER_SLEEPERS_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "daemon/cluster_view.h"
#include "daemon/identity/host_id.h"
#include "daemon/identity/kept_hosts.h"
#include "daemon/membership/known_host.h"
#include "daemon/membership/roster.h"
#include "engine/base/mutex.h"
#include "engine/base/task_queue.h"

namespace hearth {

// The hosts that a coordinator can wake, which it remembers beyond its own end. Thread-safe; but for the
// constructor nothing blocks.
class Sleepers {
 public:
  struct Host {
    KnownHost known;
    absl::Time woken = absl::InfinitePast();  // last

    const std::string& name() const { return known.report.host; }
  };

  // Reads what is kept; what cannot be read is a warning. `kept` null: nothing is.
  explicit Sleepers(std::shared_ptr<KeptHosts> kept);

  // Remembers those of a coordinator's hosts that are there, have told a network card and are not of the
  // coordinator's own machine. Who has the name of another one takes its place.
  void See(const std::vector<Roster::Host>& hosts);
  // It does not belong to the home any more.
  void Forget(const HostId& id);
  // Those that are not there now, by name.
  std::vector<Host> Away(const std::vector<Roster::Host>& hosts) const;
  // It has been sent packets, when it says.
  void NoteWoken(const Host& host);

 private:
  struct Entry {
    Host host;
    Roster::Session session = 0;  // in which it was seen last; 0: in none of this coordinator's
  };

  // Has what is known of a host written, behind those who ask.
  void Keep(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write(const std::string& id);

  const std::shared_ptr<KeptHosts> kept_;
  mutable Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);  // by id
  std::set<std::string> unwritten_ ABSL_GUARDED_BY(mutex_);       // ids
  TaskQueue writes_{1};  // one for each of these; last: ends before they do
};

// For status.
AwayHostView ViewOf(const Sleepers::Host& host);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_SLEEPERS_H_
