#ifndef HEARTH_CLIENT_FIRST_ANSWER_H_
#define HEARTH_CLIENT_FIRST_ANSWER_H_

#include <grpcpp/client_context.h>

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"

namespace hearth {

// Cancels a call whose server takes too long to say anything at all, however long the call may go on after
// that: one that is alive enough to keep the connection and no more would hold its caller for ever.
class FirstAnswer {
 public:
  // `context` outlives this.
  FirstAnswer(grpc::ClientContext& context, absl::Duration patience);
  ~FirstAnswer();

  // Something has come, or the call is over. Idempotent.
  void Arrived();
  // Whether the call was cancelled.
  bool missed() const;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool arrived_ ABSL_GUARDED_BY(mutex_) = false;
  bool missed_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace hearth

#endif  // HEARTH_CLIENT_FIRST_ANSWER_H_
