#ifndef HEARTH_DAEMON_STATE_KEPT_REQUESTS_H_
#define HEARTH_DAEMON_STATE_KEPT_REQUESTS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "daemon/state/state_store.h"
#include "engine/base/mutex.h"

namespace hearth {

// What generates a kept request at present and shows it to somebody.
class RequestRun {
 public:
  virtual ~RequestRun() = default;
  // Ends with `status`; somebody else goes on with the request, or nobody. From any thread.
  virtual void GiveUp(const absl::Status& status) = 0;
};

struct KeptRequestsLimits {
  size_t requests = 256;
  size_t bytes = size_t{64} << 20;          // of contents and tokens together, when one more comes
  absl::Duration life = absl::Minutes(10);  // since the last change
  // Changes are collected so long before they are written, and where that failed it is tried again later.
  absl::Duration write_after = absl::Milliseconds(20);
  absl::Duration retry_after = absl::Seconds(30);
};

// The requests that were sent with an id, each with the tokens that it has generated, so that it can be gone
// on with: by a client whose connection broke, and by the next coordinator. Where there are too many, those
// go that were not used for longest. A thread writes what changes to the store, behind those who generate:
// what it has not written yet is computed again. A store that fails costs a warning and no request.
// Thread-safe.
class KeptRequests {
 public:
  using Clock = std::function<absl::Time()>;

  // Has what the store has. `store` outlives this; null: there is none.
  explicit KeptRequests(StateStore* store, KeptRequestsLimits limits = {}, Clock clock = absl::Now);
  // Writes what is left.
  ~KeptRequests();

  // INVALID_ARGUMENT unless it is 16 to 128 letters, digits, '-' and '_'.
  static absl::Status CheckId(const std::string& id);

  // What is said of a request whose model is another one by now.
  static absl::Status OtherModel();

  // NOT_FOUND: there is none of this caller.
  absl::StatusOr<KeptRequest> Find(const RequestName& name) const;

  struct Begun {
    uint64_t run;         // for the calls below
    bool joined;          // it was kept already
    KeptRequest request;  // as it is kept
  };
  // `run` generates the request from now on, which is kept as given, with a seed, unless it is already; who
  // did so before gives up with ABORTED. ALREADY_EXISTS: the name is of another request. FAILED_PRECONDITION:
  // of one to another model file.
  absl::StatusOr<Begun> Begin(KeptRequest request, const std::weak_ptr<RequestRun>& run);

  // What a run says after another one of its request has begun counts no more.
  // The tokens so far are these.
  void SetTokens(const RequestName& name, uint64_t run, std::vector<int32_t> tokens);
  // Tokens behind the first `first`. Those that are known already are left as they are.
  void Append(const RequestName& name, uint64_t run, size_t first, absl::Span<const int32_t> tokens);
  // The run ended so; the request is forgotten where it would end the same way again.
  void End(const RequestName& name, uint64_t run, const absl::Status& status);

  // Forgets it; who generates it gives up with CANCELLED.
  void Cancel(const RequestName& name);

  // How many there are.
  size_t size() const;
  // Waits until all that has changed so far is written, or could not be.
  void AwaitWritten();

 private:
  struct Entry {
    KeptRequest request;
    uint64_t run = 0;
    std::weak_ptr<RequestRun> runner = {};
    bool stored = false;       // the store has it, ...
    size_t stored_tokens = 0;  // ... with so many tokens
  };
  using Entries = std::map<RequestName, Entry>;

  void Load();
  // The entry of this run; null: it counts no more.
  Entry* Current(const RequestName& name, uint64_t run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Changed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Erase(Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EraseOld() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Room for so many more, of so many bytes together.
  void MakeRoom(size_t requests, size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t Bytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Run();
  // Waits for something to write; false at the end.
  bool AwaitChange() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the store lacks, which it has from then on.
  RequestChanges TakeChanges() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write();
  void NoteWritten(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  StateStore* const store_;
  const KeptRequestsLimits limits_;
  const Clock clock_;

  mutable Mutex mutex_;
  CondVar changed_;
  CondVar written_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_run_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<RequestName> removed_ ABSL_GUARDED_BY(mutex_);  // and in the store
  bool forget_all_ ABSL_GUARDED_BY(mutex_) = false;
  bool failing_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t taken_ ABSL_GUARDED_BY(mutex_) = 0;    // of these changes: in hand of the writer, ...
  uint64_t settled_ ABSL_GUARDED_BY(mutex_) = 0;  // ... and written, or given up for now
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_STATE_KEPT_REQUESTS_H_
