#include "daemon/http/key_gate.h"

#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/http/api_error.h"
#include "daemon/identity/api_key.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr std::chrono::seconds kLinesApart{5};

HttpResponse Unauthenticated(std::string message) {
  ApiError error = Refusal(401, std::move(message));
  error.code = "invalid_api_key";
  HttpResponse response = ErrorResponse(error);
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace

KeyGate::KeyGate(const Home& home, std::function<bool(const HttpRequest&)> needs_no_key, HttpHandler& next)
    : home_(home), needs_no_key_(std::move(needs_no_key)), next_(next), limiter_(kLinesApart) {}

std::optional<HttpResponse> KeyGate::RefuseEarly(const HttpRequest& request) {
  if (IsOpen(request)) return std::nullopt;
  const absl::Status status = home_.RecogniseApiKey(request.key).status();
  if (status.ok()) return std::nullopt;
  if (!request.key.empty()) return RefuseWrongKey(request.client, status.message());
  return Unauthenticated(
      "a key is needed: send the header Authorization: Bearer KEY, with one that `hearth key create --api "
      "NAME` has made on the coordinator's machine");
}

HttpResponse KeyGate::RefuseWrongKey(const std::string& client, absl::string_view problem) {
  int count = 0;
  {
    MutexLock lock(&mutex_);
    count = wrong_keys_.Count(client, absl::Now());
  }
  if (count == 1) {
    if (const auto left_out = limiter_.Allow()) {
      spdlog::warn("HTTP: a wrong key from {} ({} similar lines left out)", Printable(client), *left_out);
    }
  }
  if (count <= WrongKeys::kMost) {
    return Unauthenticated(std::string(problem));
  }
  HttpResponse response =
      ErrorResponse(Refusal(429, "too many wrong keys came from this address: wait a minute"));
  response.headers.emplace_back("Retry-After", absl::StrCat(absl::ToInt64Seconds(WrongKeys::kInterval)));
  return response;
}

void KeyGate::Handle(HttpRequest request, std::shared_ptr<Exchange> exchange) {
  if (IsOpen(request)) return next_.Handle(std::move(request), std::move(exchange));
  // Known before it is looked at, so that it is ended if the key is revoked after that.
  exchange = Watch(IdOfApiKey(request.key).value_or(HostId()), std::move(exchange));
  const absl::StatusOr<Member> owner = home_.RecogniseApiKey(request.key);
  if (!owner.ok()) return exchange->Send(Unauthenticated(std::string(owner.status().message())));
  request.role = owner->role;
  next_.Handle(std::move(request), std::move(exchange));
}

std::shared_ptr<Exchange> KeyGate::Watch(const HostId& id, std::shared_ptr<Exchange> exchange) {
  Exchange* const watched = exchange.get();
  {
    MutexLock lock(&mutex_);
    answers_[watched] = {id, exchange};
  }
  return {watched, [this, exchange = std::move(exchange)](Exchange* held) mutable {
            {
              MutexLock lock(&mutex_);
              answers_.erase(held);
            }
            exchange.reset();
          }};
}

void KeyGate::EndAnswersTo(const HostId& id) {
  std::vector<std::shared_ptr<Exchange>> ending;
  {
    MutexLock lock(&mutex_);
    for (const auto& [exchange, answer] : answers_) {
      if (answer.to != id) continue;
      if (auto held = answer.exchange.lock()) ending.push_back(std::move(held));
    }
  }
  for (std::shared_ptr<Exchange>& exchange : ending) {
    Exchange* const ended = exchange.get();
    ended->Post([exchange = std::move(exchange)] { exchange->Abort(); });
  }
}

}  // namespace hearth
