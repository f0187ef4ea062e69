#ifndef HEARTH_DAEMON_ETCD_ELECTION_H_
#define HEARTH_DAEMON_ETCD_ELECTION_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/etcd/etcd_client.h"
#include "daemon/etcd/etcd_store.h"
#include "engine/base/mutex.h"
#include "proto/hearth/v1/stored.pb.h"

namespace hearth {

struct ElectionOptions {
  std::string prefix;  // of all keys; those of the election are PREFIXleader, PREFIXterm and PREFIXhosts/HOST
  std::string host;    // this host's name
  absl::Duration lease =
      absl::Seconds(2);  // whole seconds, 2 at least: for so long a dead leader still leads
};

// Who of the hosts that could leads, by a lease in etcd. Whoever puts the leader's key, which goes with its
// lease, leads a term of a number that was never used before. It leads while its own clock says that the
// lease holds, and no longer, whether etcd can be reached or not; etcd ends the lease later than that, and
// only then another one leads. A thread renews the lease, or waits for its end. Whoever could lead says where
// it would be reached then, for those that do not read the store. Thread-safe.
//
//                Campaign          the key is free           Resign, lease over, key gone
//    (watches) ----------> waits ------------------> leads -------------------------------> (watches)
class Election {
 public:
  struct Standing {
    uint64_t term = 0;                 // that this host leads, or led last; 0: none
    Fence fence;                       // of that term
    std::optional<v1::Leader> leader;  // another host that leads, as far as is known
    std::vector<v1::Leader> hosts;     // that could lead, this one among them, by name
    absl::Status ended;                // why that term ended; OK: it has not
    absl::Status problem;              // why nothing newer is known
  };

  Election(std::unique_ptr<EtcdClient> client, ElectionOptions options);
  // Resigns.
  ~Election();

  // Whether this host leads now. Fast; to be asked before each thing that a leader alone may do.
  bool Leads() const;
  Standing standing() const;
  // This host takes the lead once it is free, one time.
  void Campaign();
  // Where the leader can be reached: others know within a renewal.
  void Announce(const v1::Leader& leader);
  // Where this host can be reached whenever it leads; is known until it has been away for half a minute.
  void Stand(const v1::Leader& place);
  // Ends the lead, so that another host need not wait for the lease's end.
  void Resign();

 private:
  void Run();
  // Renews the lease, or finds that the lead is lost.
  void Renew();
  // Looks who leads, and leads where nobody does.
  void Look();
  absl::Status TryToLead();
  void BeginTerm(uint64_t term, int64_t create_revision);
  void EndTerm(const absl::Status& why);
  absl::Status PutRecord();
  // Keeps this host's place among those that could lead, once it has one.
  absl::Status KeepPlace();
  absl::Status ReadHosts();
  void Note(const absl::Status& problem, std::optional<v1::Leader> leader);

  const std::unique_ptr<EtcdClient> client_;
  const ElectionOptions options_;
  const std::string leader_key_;
  const std::string term_key_;
  const std::string hosts_prefix_;

  // Nanoseconds of the machine's clock since its start, sleep included; 0: it does not lead.
  std::atomic<int64_t> leads_until_ns_ = 0;

  // Of the thread.
  EtcdClient::Lease lease_;
  int64_t lease_begun_ns_ = 0;
  EtcdClient::Lease place_lease_;
  int64_t place_kept_ns_ = 0;  // when that was last renewed
  int64_t hosts_read_ns_ = 0;

  mutable Mutex mutex_;
  CondVar wake_;
  Standing standing_ ABSL_GUARDED_BY(mutex_);
  v1::Leader record_ ABSL_GUARDED_BY(mutex_);  // of this host
  bool record_is_due_ ABSL_GUARDED_BY(mutex_) = false;
  v1::Leader place_ ABSL_GUARDED_BY(mutex_);  // of this host
  bool place_is_due_ ABSL_GUARDED_BY(mutex_) = false;
  bool campaigns_ ABSL_GUARDED_BY(mutex_) = false;
  bool leads_ ABSL_GUARDED_BY(mutex_) = false;  // the lease is to be renewed
  bool resigns_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_ETCD_ELECTION_H_
