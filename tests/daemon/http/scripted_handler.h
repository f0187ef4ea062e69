#ifndef HEARTH_TESTS_DAEMON_HTTP_SCRIPTED_HANDLER_H_
#define HEARTH_TESTS_DAEMON_HTTP_SCRIPTED_HANDLER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/http/exchange.h"

namespace hearth {

inline HttpResponse Text(std::string text) {
  return {.code = 200, .content_type = "text/plain", .headers = {}, .body = std::move(text)};
}

// Answers every request with "METHOD PATH BODY", or as a test says.
class ScriptedHandler final : public HttpHandler {
 public:
  using Script = std::function<void(HttpRequest request, std::shared_ptr<Exchange> exchange)>;

  void Handle(HttpRequest request, std::shared_ptr<Exchange> exchange) override {
    if (script) return script(std::move(request), std::move(exchange));
    exchange->Send(Text(absl::StrCat(request.method, " ", request.path, " ", request.body)));
  }

  Script script;  // set before the first request
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_HTTP_SCRIPTED_HANDLER_H_
