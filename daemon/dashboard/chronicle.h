#ifndef HEARTH_DAEMON_DASHBOARD_CHRONICLE_H_
#define HEARTH_DAEMON_DASHBOARD_CHRONICLE_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <prometheus/collectable.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/dashboard/happenings.h"
#include "daemon/dashboard/history.h"
#include "engine/base/mutex.h"
#include "proto/hearth/v1/cluster.grpc.pb.h"
#include "proto/hearth/v1/models.grpc.pb.h"

namespace hearth {

struct ChronicleOptions {
  // Whose figures it keeps.
  std::vector<std::shared_ptr<prometheus::Collectable>> metrics;
  // Looks at the cluster also while nobody listens, so that who opens the page later sees what has been. A
  // worker's asks its coordinator over the network, so it rests.
  bool always = true;
  absl::Duration interval = absl::Milliseconds(500);  // while somebody listens
  absl::Duration idle_interval = absl::Seconds(1);
  absl::Duration sample_interval = absl::Seconds(3);
};

// What the dashboard shows: the cluster's newest state, what has happened and how figures have gone. A thread
// of its own asks the services of a channel. All that it keeps is bounded. Thread-safe.
class Chronicle {
 public:
  static constexpr size_t kEvents = 500;     // older ones are forgotten
  static constexpr size_t kListeners = 128;  // at the same time

  Chronicle(const std::shared_ptr<grpc::Channel>& channel, ChronicleOptions options);
  // Stops.
  ~Chronicle() { Stop(); }

  // What a listener has seen already.
  struct Seen {
    uint64_t state = 0, event = 0, sample = 0;
  };
  // The server-sent events that are news to who has seen this; empty: none. Of states and samples only the
  // newest: "state" {"cluster", "models"} in protobuf's JSON, or "away" {"message"} where the coordinator
  // does not answer; "events" [{"number", "time", "kind", "text"}]; "sample" as History::Last.
  std::string NewsSince(Seen& seen) const;
  // The whole History.
  std::string HistoryJson() const;

  // `listener` is called, from the chronicle's thread, whenever there is news, and when the chronicle has
  // ended; it must return at once. 0 where there are too many, or it has ended.
  int Listen(std::function<void()> listener);
  // When it returns the listener is not called any more. Not from a listener.
  void Forget(int listener);
  // Ends. Idempotent.
  void Stop();
  bool ended() const;

 private:
  struct Event {
    uint64_t number = 0;
    int64_t unix_ms = 0;
    Happening what;
  };

  void Run();
  // False at the end.
  bool AwaitTurn();
  void Look();
  absl::Status Ask(HomeState& state);
  void Take(const absl::Status& status, HomeState state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Sample();
  void Tell();

  const ChronicleOptions options_;
  const std::unique_ptr<v1::Cluster::Stub> cluster_;
  const std::unique_ptr<v1::Models::Stub> models_;
  absl::Time next_sample_ = absl::InfinitePast();  // the thread's own

  mutable Mutex mutex_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool urged_ ABSL_GUARDED_BY(mutex_) = false;                     // somebody new is to see the state at once
  grpc::ClientContext* asking_ ABSL_GUARDED_BY(mutex_) = nullptr;  // to be cancelled at the end
  HomeState state_ ABSL_GUARDED_BY(mutex_);
  std::string state_news_ ABSL_GUARDED_BY(mutex_);
  uint64_t state_number_ ABSL_GUARDED_BY(mutex_) = 0;
  bool away_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Event> events_ ABSL_GUARDED_BY(mutex_);
  uint64_t event_number_ ABSL_GUARDED_BY(mutex_) = 0;  // of the last one
  History history_ ABSL_GUARDED_BY(mutex_);
  uint64_t sample_number_ ABSL_GUARDED_BY(mutex_) = 0;

  // Held while listeners are called.
  Mutex listeners_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  std::map<int, std::function<void()>> listeners_ ABSL_GUARDED_BY(listeners_mutex_);
  int last_listener_ ABSL_GUARDED_BY(listeners_mutex_) = 0;

  bool listened_ ABSL_GUARDED_BY(mutex_) = false;  // there are listeners
  std::thread thread_;                             // last: starts when all else is there
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_DASHBOARD_CHRONICLE_H_
