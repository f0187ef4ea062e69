#include "daemon/openai/generation_call.h"

#include <string>
#include <utility>
#include <vector>

#include "daemon/grpc_status.h"
#include "daemon/http/api_error.h"

namespace hearth {
namespace {

class GenerationCall;

// One choice: a call of the service. Its callbacks only post to the exchange's strand. Reads are started from
// there, which is why the call is held (AddHold) until the last one.
class Choice final : public GenerationReactor {
 public:
  Choice(std::shared_ptr<GenerationCall> call, std::shared_ptr<Exchange> exchange, size_t index)
      : call_(std::move(call)), exchange_(std::move(exchange)), index_(index) {}

  // `self` is this; it is let go after the last callback.
  void Begin(const BeginGeneration& begin, std::shared_ptr<Choice> self) {
    self_ = std::move(self);
    begin(index_, &context_, this);
    AddHold();
    ReadNext();
    StartCall();
  }

  void ReadNext() {
    reading_ = true;
    StartRead(&event_);
  }
  // Nothing of it is wanted any more.
  void Cancel() {
    context_.TryCancel();
    if (!reading_ && !released_) Release();
  }

  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  void Release() {
    released_ = true;
    RemoveHold();
  }

  const std::shared_ptr<GenerationCall> call_;
  const std::shared_ptr<Exchange> exchange_;
  const size_t index_;
  std::shared_ptr<Choice> self_;
  grpc::ClientContext context_;
  v1::GenerateResponse event_;  // being read or handled
  bool reading_ = false;        // OnReadDone is yet to be heard of on the strand
  bool released_ = false;
};

class GenerationCall : public std::enable_shared_from_this<GenerationCall> {
 public:
  GenerationCall(std::shared_ptr<Exchange> exchange, std::unique_ptr<Answer> answer, bool stream,
                 std::optional<ResumableStream> resumable)
      : exchange_(std::move(exchange)),
        answer_(std::move(answer)),
        stream_(stream),
        resumable_(std::move(resumable)) {}

  void Begin(size_t choices, const BeginGeneration& begin) {
    exchange_->WhenGone([self = shared_from_this()] { self->End(); });
    for (size_t i = 0; i < choices && !ended_; ++i) {
      choices_.push_back(std::make_shared<Choice>(shared_from_this(), exchange_, i));
      choices_.back()->Begin(begin, choices_.back());
    }
    running_ = choices_.size();
  }

  bool ended() const { return ended_; }

  // The choice reads on by itself when this returns true; else once ReadNext is called.
  bool TakeEvent(size_t index, const v1::GenerateResponse& event) {
    std::string lines = answer_->Take(index, event);
    if (!stream_) return true;
    if (!std::exchange(begun_, true)) BeginStream();
    if (resumable_) lines = Positioned(index, event, std::move(lines));
    if (lines.empty()) return true;
    exchange_->Write(lines, [self = shared_from_this(), index] {
      if (!self->ended_) self->choices_[index]->ReadNext();
    });
    return false;
  }

  void TakeEnd(const absl::Status& status) {
    if (ended_) return;
    if (!status.ok()) return Fail(status);
    if (--running_ > 0) return;
    if (stream_) {
      exchange_->Write(answer_->StreamEnd(), nullptr);
      exchange_->EndStream();
    } else {
      HttpResponse response;
      response.content_type = "application/json";
      response.body = answer_->Whole();
      exchange_->Send(std::move(response));
    }
    End();
  }

 private:
  // Notes what of a choice will have been sent, and tells so; nothing of what its client has already.
  std::string Positioned(size_t index, const v1::GenerateResponse& event, std::string lines) {
    StreamPosition& position = resumable_->position;
    if (position.ended(index) || (event.has_started() && resumable_->resumed)) return "";
    if (event.has_delta()) {
      position.Advance(index, event.delta().offset() + static_cast<uint32_t>(event.delta().tokens_size()));
    }
    if (event.has_finished()) position.End(index);
    return lines.empty() ? lines : WithEventId(std::move(lines), position);
  }

  void BeginStream() {
    HttpResponse head;
    head.content_type = "text/event-stream; charset=utf-8";
    // What stands between must neither keep nor collect events.
    head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    exchange_->BeginStream(std::move(head));
  }

  void Fail(const absl::Status& status) {
    const ApiError error = ToApiError(status);
    if (begun_) {
      exchange_->Write(answer_->StreamError(error), nullptr);
      exchange_->EndStream();
    } else {
      exchange_->Send(ErrorResponse(error));
    }
    End();
  }

  void End() {
    if (std::exchange(ended_, true)) return;
    for (const auto& choice : std::exchange(choices_, {})) choice->Cancel();
  }

  const std::shared_ptr<Exchange> exchange_;
  const std::unique_ptr<Answer> answer_;
  const bool stream_;
  std::optional<ResumableStream> resumable_;
  std::vector<std::shared_ptr<Choice>> choices_;
  size_t running_ = 0;
  bool begun_ = false;  // the stream's head is sent
  bool ended_ = false;  // answered, or the client has gone
};

void Choice::OnReadDone(bool ok) {
  exchange_->Post([self = self_, ok] {
    self->reading_ = false;
    const bool wanted = ok && !self->call_->ended();
    if (!wanted) return self->Release();
    if (self->call_->TakeEvent(self->index_, self->event_)) self->ReadNext();
  });
}

void Choice::OnDone(const grpc::Status& status) {
  exchange_->Post(
      [self = std::move(self_), status = FromGrpcStatus(status)] { self->call_->TakeEnd(status); });
}

}  // namespace

void AnswerWithGenerations(std::shared_ptr<Exchange> exchange, size_t choices, BeginGeneration begin,
                           std::unique_ptr<Answer> answer, bool stream,
                           std::optional<ResumableStream> resumable) {
  std::make_shared<GenerationCall>(std::move(exchange), std::move(answer), stream, std::move(resumable))
      ->Begin(choices, begin);
}

}  // namespace hearth
