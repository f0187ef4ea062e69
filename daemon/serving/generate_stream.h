#ifndef HEARTH_DAEMON_SERVING_GENERATE_STREAM_H_
#define HEARTH_DAEMON_SERVING_GENERATE_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "daemon/scheduling/generation.h"
#include "daemon/scheduling/scheduler.h"
#include "daemon/state/kept_requests.h"
#include "engine/base/mutex.h"
#include "engine/chat/answer_parser.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// `status`, of a daemon that will be started again: clients are to go on then.
absl::Status ComesBack(absl::Status status);

// A run of a kept request, to which its tokens are noted.
struct NotedRun {
  KeptRequests* requests = nullptr;
  RequestName name;
  uint64_t run = 0;
};

// One Generate, Chat or Resume RPC. It is accepted when its request has been checked, which for a
// conversation or a long text is later than it begins, or rejected. From then on events come from the
// scheduler's thread, which never waits for the client: what cannot be written yet is kept and joined into
// one Delta. gRPC holds a reference until OnDone, the scheduler one until the last event.
class GenerateStream final : public grpc::ServerWriteReactor<v1::GenerateResponse>,
                             public GenerationSink,
                             public RequestRun,
                             public std::enable_shared_from_this<GenerateStream> {
 public:
  // `context` is gRPC's. `leads`: see MakeGenerationService.
  explicit GenerateStream(grpc::CallbackServerContext& context, std::function<bool()> leads = {})
      : context_(context), leads_(std::move(leads)) {}
  void HoldUntilDone() { self_ = shared_from_this(); }

  // What it is known by from now on, before it is submitted. What comes before the token `first_sent` is not
  // sent.
  void Accept(std::weak_ptr<Scheduler> scheduler, RequestId id, v1::Started started, uint32_t first_sent);
  // Its tokens are noted there; before it is submitted.
  void NoteTo(NotedRun run);
  // Those that it begins with, noted once it starts: until then they may be refused.
  void BeginWith(std::vector<TokenId> tokens);
  // Reasoning and calls are taken out of its text; before it is submitted.
  void TakeApart(const AnswerSyntax& syntax);
  // It is submitted: tells the client so.
  void Submitted();
  // Ends it before its first event.
  void Reject(const absl::Status& status);
  // Whether nothing can be sent any more.
  bool client_gone() const;

  void Started() override;
  void Delta(GenerationDelta delta) override;
  void Finished(const GenerationSummary& summary) override;
  void Failed(const absl::Status& status) override;
  bool Blocked() const override;

  void GiveUp(const absl::Status& status) override;

  void OnSendInitialMetadataDone(bool ok) override { OnWriteDone(ok); }
  void OnWriteDone(bool ok) override;
  void OnCancel() override { GiveUp(absl::CancelledError("the request was cancelled")); }
  void OnDone() override { self_.reset(); }

 private:
  // The client will not hear of anything but the end.
  void Abandon(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Keeps what is no text for the next delta, and returns what is.
  std::string Take(AnswerPieces pieces) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // All of the parser's rest, with the last delta.
  std::string TakeRest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Where this host does not lead any more nothing more is said but that.
  void StopUnlessLeading() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the next write, or ends the RPC when all is written.
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  NotedRun noted() const;

  std::shared_ptr<GenerateStream> self_;
  grpc::CallbackServerContext& context_;  // until the end
  const std::function<bool()> leads_;

  mutable Mutex mutex_;
  NotedRun noted_ ABSL_GUARDED_BY(mutex_);
  std::vector<TokenId> beginning_ ABSL_GUARDED_BY(mutex_);
  // Of an accepted request.
  std::weak_ptr<Scheduler> scheduler_ ABSL_GUARDED_BY(mutex_);
  RequestId id_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t first_sent_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::Started started_ ABSL_GUARDED_BY(mutex_);
  v1::GenerateResponse response_ ABSL_GUARDED_BY(mutex_);  // being written
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;             // something was written
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;           // a write was started, OnWriteDone not yet
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;            // Finish was called
  bool client_gone_ ABSL_GUARDED_BY(mutex_) = false;       // nothing can be written any more
  bool started_pending_ ABSL_GUARDED_BY(mutex_) =
      false;  // this and the next three: not written yet, in this order
  GenerationDelta delta_ ABSL_GUARDED_BY(mutex_);
  v1::Delta taken_ ABSL_GUARDED_BY(mutex_);     // reasoning and calls that go with it
  uint32_t calls_ ABSL_GUARDED_BY(mutex_) = 0;  // so far
  std::optional<AnswerParser> parser_ ABSL_GUARDED_BY(mutex_);
  std::optional<v1::Finished> finished_ ABSL_GUARDED_BY(mutex_);
  std::optional<grpc::Status> status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_GENERATE_STREAM_H_
