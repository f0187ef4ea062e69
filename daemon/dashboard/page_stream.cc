#include "daemon/dashboard/page_stream.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

class PageStream : public std::enable_shared_from_this<PageStream> {
 public:
  PageStream(Chronicle& chronicle, std::shared_ptr<Exchange> exchange)
      : chronicle_(chronicle), exchange_(std::move(exchange)) {}

  bool Begin(std::string greeting) {
    listener_ = chronicle_.Listen([self = shared_from_this()] { self->Wake(); });
    if (listener_ == 0) return false;
    exchange_->BeginStream({.code = 200,
                            .content_type = "text/event-stream; charset=utf-8",
                            .headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}},
                            .body = std::move(greeting)});
    exchange_->WhenGone([self = shared_from_this()] { self->chronicle_.Forget(self->listener_); });
    Pump();
    return true;
  }

 private:
  // From any thread; one look is enough for all that happens until then.
  void Wake() {
    if (woken_.exchange(true)) return;
    exchange_->Post([self = shared_from_this()] {
      self->woken_ = false;
      self->Pump();
    });
  }

  void Pump() {
    if (chronicle_.ended()) return exchange_->EndStream();
    if (writing_) return;
    std::string news = chronicle_.NewsSince(seen_);
    if (news.empty()) return;
    writing_ = true;
    exchange_->Write(std::move(news), [self = shared_from_this()] {
      self->writing_ = false;
      self->Pump();
    });
  }

  Chronicle& chronicle_;
  const std::shared_ptr<Exchange> exchange_;
  int listener_ = 0;
  std::atomic<bool> woken_ = false;
  // The following are the strand's.
  Chronicle::Seen seen_;
  bool writing_ = false;
};

}  // namespace

bool StreamNews(Chronicle& chronicle, std::string greeting, std::shared_ptr<Exchange> exchange) {
  return std::make_shared<PageStream>(chronicle, std::move(exchange))->Begin(std::move(greeting));
}

}  // namespace hearth
