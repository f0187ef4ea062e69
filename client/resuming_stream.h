#ifndef HEARTH_CLIENT_RESUMING_STREAM_H_
#define HEARTH_CLIENT_RESUMING_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/hearth_client.h"
#include "client/servers.h"
#include "engine/base/mutex.h"
#include "proto/hearth/v1/generation.grpc.pb.h"

namespace hearth {

struct StreamPatience {
  absl::Duration timeout;        // all of it
  absl::Duration resume_within;  // without an event, once it broke
};

// A generation over as many calls as it takes. A request has an id, its own or one that is drawn, by which
// daemons know it again. A call that breaks is followed by another that goes on behind the tokens that have
// come, at the same host or at another one that is known: by the id, and where the daemon has forgotten it by
// the request itself, the seed and the tokens. A request that nobody has accepted yet is sent again unless it
// was refused, or there was nobody to send it to. What the daemon says of a request that it gives up, and
// lives on, is the end. Cancelling tells the daemon, which then forgets the request.
class ResumingStream final : public GenerationStream {
 public:
  // What cannot be sent ends it at once.
  ResumingStream(std::shared_ptr<Servers> servers, std::variant<v1::GenerateRequest, v1::ChatRequest> request,
                 StreamPatience patience);
  ~ResumingStream() override;

  std::optional<v1::GenerateResponse> Next() override;
  absl::Status Finish() override;
  void Cancel() override;

 private:
  using Reader = grpc::ClientReader<v1::GenerateResponse>;
  struct Attempt {
    CalledServer* server;
    bool connected;  // when it began
    grpc::ClientContext context;
    std::unique_ptr<Reader> reader;
  };

  // Begins the next call.
  void Begin();
  std::unique_ptr<Reader> StartCall(v1::Generation::Stub& stub, grpc::ClientContext& context);
  // The request, to be gone on with behind what has come.
  template <class Request>
  Request Continued(Request request) const;
  // Notes the event; whether it is news.
  bool Take(const v1::GenerateResponse& event);
  // The call is over: sets status_ unless there is to be another one.
  void EndAttempt();
  bool MayGoOn(const grpc::Status& status, const Attempt& attempt);
  bool MayBeSentAgain(const grpc::Status& status, const Attempt& attempt) const;
  // False once it was tried for too long or cancelled.
  bool AwaitNextAttempt();
  // Tells the daemon that nobody will come back.
  void Forget();
  bool cancelled() const;

  const std::shared_ptr<Servers> servers_;
  std::variant<v1::GenerateRequest, v1::ChatRequest> request_;
  std::string id_;
  const absl::Time deadline_;
  const absl::Duration resume_within_;

  // For the thread that calls Next.
  std::optional<v1::Started> started_;
  std::vector<int32_t> tokens_;
  bool accepted_ = false;   // by a daemon, once
  bool forgotten_ = false;  // by the daemon
  int attempts_ = 0;
  int failures_ = 0;  // in a row
  absl::Time broken_since_ = absl::InfiniteFuture();
  std::optional<absl::Status> status_;  // at the end

  mutable Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<Attempt> attempt_ ABSL_GUARDED_BY(mutex_);  // replaced by the thread that calls Next
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace hearth

#endif  // HEARTH_CLIENT_RESUMING_STREAM_H_
