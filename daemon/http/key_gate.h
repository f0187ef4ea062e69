#ifndef HEARTH_DAEMON_HTTP_KEY_GATE_H_
#define HEARTH_DAEMON_HTTP_KEY_GATE_H_

#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "daemon/channel/log_limiter.h"
#include "daemon/http/exchange.h"
#include "daemon/http/wrong_keys.h"
#include "daemon/identity/home.h"
#include "engine/base/mutex.h"

namespace hearth {

// Hands on the requests of those who show a key of the home, with their role, and refuses all others before
// it waits for a body: 401, or 429 where many wrong keys came from an address. A key that is right passes
// whatever its address has done: others may sit behind it, and keys are too long to be guessed.
class KeyGate final : public HttpHandler {
 public:
  // `needs_no_key`: of a request without a body. `home` and `next` outlive the gate, which outlives the
  // server.
  KeyGate(const Home& home, std::function<bool(const HttpRequest&)> needs_no_key, HttpHandler& next);

  std::optional<HttpResponse> RefuseEarly(const HttpRequest& request) override;
  void Handle(HttpRequest request, std::shared_ptr<Exchange> exchange) override;

  // Ends the answers that are under way to whoever has the key with this id. Thread-safe.
  void EndAnswersTo(const HostId& id);

 private:
  bool IsOpen(const HttpRequest& request) const { return !request.has_body && needs_no_key_(request); }
  HttpResponse RefuseWrongKey(const std::string& client, absl::string_view problem);
  // The exchange, known by its owner's key for as long as anybody holds it.
  std::shared_ptr<Exchange> Watch(const HostId& id, std::shared_ptr<Exchange> exchange);

  struct Answer {
    HostId to;
    std::weak_ptr<Exchange> exchange;
  };

  const Home& home_;
  const std::function<bool(const HttpRequest&)> needs_no_key_;
  HttpHandler& next_;
  LogLimiter limiter_;
  Mutex mutex_;
  WrongKeys wrong_keys_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<Exchange*, Answer> answers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_KEY_GATE_H_
