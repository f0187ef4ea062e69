#ifndef HEARTH_DAEMON_SERVING_EMBED_CALL_H_
#define HEARTH_DAEMON_SERVING_EMBED_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/requests/embed_request.h"
#include "daemon/scheduling/embedding.h"
#include "daemon/scheduling/scheduler.h"
#include "engine/base/mutex.h"

namespace hearth {

// One Embed RPC. A few of its texts are with the scheduler at a time, so a long list takes few places of the
// queue; the first failure ends all. gRPC holds a reference until OnDone, the scheduler one for each text.
class EmbedCall final : public grpc::ServerUnaryReactor,
                        public EmbeddingSink,
                        public std::enable_shared_from_this<EmbedCall> {
 public:
  // `response` is gRPC's; `last_id` is that of the daemon's requests, and outlives this.
  EmbedCall(v1::EmbedResponse& response, std::atomic<RequestId>& last_id)
      : last_id_(last_id), response_(response) {}
  void HoldUntilDone() { self_ = shared_from_this(); }

  // Begins with the texts. Once, or Reject.
  void Begin(std::shared_ptr<Scheduler> scheduler, CheckedEmbedRequest request, absl::Time arrived,
             absl::Time deadline);
  void Reject(const absl::Status& status);

  // Of the scheduler's thread.
  void Embedded(RequestId id, std::vector<float> vector) override;
  void Failed(const absl::Status& status) override;

  void OnCancel() override;
  void OnDone() override { self_.reset(); }

 private:
  // Whether one more text may be with the scheduler.
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Hands texts to the scheduler as long as there is room for more.
  void SubmitMore() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::shared_ptr<EmbedCall> self_;
  std::atomic<RequestId>& last_id_;

  Mutex mutex_;
  v1::EmbedResponse& response_ ABSL_GUARDED_BY(mutex_);  // gone once it has ended
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;           // Finish was called
  std::shared_ptr<Scheduler> scheduler_ ABSL_GUARDED_BY(mutex_);
  CheckedEmbedRequest request_ ABSL_GUARDED_BY(mutex_);
  absl::Time arrived_ ABSL_GUARDED_BY(mutex_);
  absl::Time deadline_ ABSL_GUARDED_BY(mutex_);
  uint32_t running_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t submitted_ ABSL_GUARDED_BY(mutex_) = 0;                         // of the request's inputs
  absl::flat_hash_map<RequestId, int> running_ ABSL_GUARDED_BY(mutex_);  // which input a request is
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_EMBED_CALL_H_
