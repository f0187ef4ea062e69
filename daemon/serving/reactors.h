#ifndef HEARTH_DAEMON_SERVING_REACTORS_H_
#define HEARTH_DAEMON_SERVING_REACTORS_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "daemon/grpc_status.h"
#include "daemon/requests/conversions.h"
#include "daemon/scheduling/change_notifier.h"
#include "engine/base/mutex.h"

namespace hearth {

// A unary RPC that is answered at once by `handler`: () -> absl::Status.
template <typename Handler>
grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, Handler handler) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(handler()));
  return reactor;
}

// A stream that ends before its first message.
template <typename Message>
class RejectedStream final : public grpc::ServerWriteReactor<Message> {
 public:
  explicit RejectedStream(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

// A stream that sends the newest state now and after each change. A slow client misses states in between, so
// at most one message is kept in memory.
template <typename Message>
class UpdateStream final : public grpc::ServerWriteReactor<Message>,
                           public ChangeListener,
                           public std::enable_shared_from_this<UpdateStream<Message>> {
 public:
  struct Update {
    std::optional<Message> message;
    std::optional<grpc::Status> end;  // ends the stream after the message
  };
  using Source = std::function<Update()>;

  // The reactor deletes itself. `source` is called by one thread at a time. Rejected with RESOURCE_EXHAUSTED
  // where very many look on already.
  static grpc::ServerWriteReactor<Message>* Start(ChangeNotifier& notifier, Source source) {
    auto stream = std::make_shared<UpdateStream>(std::move(source));
    if (!notifier.AddIfFew(stream)) {
      return new RejectedStream<Message>(
          {grpc::StatusCode::RESOURCE_EXHAUSTED,
           absl::StrCat(ChangeNotifier::kMaxListeners,
                        " calls watch this daemon already; end some of them")});
    }
    stream->self_ = stream;
    stream->OnChange();
    return stream.get();
  }
  explicit UpdateStream(Source source) : source_(std::move(source)) {}

  void OnChange() override {
    MutexLock lock(&mutex_);
    changed_ = true;
    Pump();
  }
  void OnWriteDone(bool ok) override {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) end_ = grpc::Status::CANCELLED;
    Pump();
  }
  void OnCancel() override {
    MutexLock lock(&mutex_);
    end_ = grpc::Status::CANCELLED;
    Pump();
  }
  void OnDone() override { self_.reset(); }

 private:
  // Starts a write or ends the RPC where there is reason to. With mutex_ held.
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || closed_) return;
    if (!end_ && changed_) {
      changed_ = false;
      Update update = source_();
      end_ = std::move(update.end);
      if (update.message && Differs(*update.message)) {
        message_ = *std::move(update.message);
        writing_ = true;
        return this->StartWrite(&message_);
      }
    }
    if (!end_) return;
    closed_ = true;
    this->Finish(*end_);
  }

  bool Differs(const Message& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::string serialized = message.SerializeAsString();
    if (sent_ == serialized) return false;
    sent_ = std::move(serialized);
    return true;
  }

  const Source source_;
  std::shared_ptr<UpdateStream> self_;  // gRPC's reference, until OnDone

  Mutex mutex_;
  Message message_ ABSL_GUARDED_BY(mutex_);                  // being written
  std::optional<std::string> sent_ ABSL_GUARDED_BY(mutex_);  // the last message
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;             // since the source was last asked
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;             // StartWrite was called, OnWriteDone not yet
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;              // Finish was called
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_REACTORS_H_
