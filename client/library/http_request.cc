#include "client/library/http_request.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/library/url.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr long kConnectSeconds = 20;
constexpr uint32_t kMostRedirects = 10;
constexpr long kBufferBytes = 512 << 10;

void SetUpCurl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  HEARTH_CHECK(code == CURLE_OK);
}

bool IsPlain(const HttpAnswer& answer) {
  return answer.content_encoding.empty() || absl::EqualsIgnoreCase(answer.content_encoding, "identity");
}

bool IsBody(const HttpAnswer& answer) { return answer.status == 200 || answer.status == 206; }

}  // namespace

HttpLoop::HttpLoop() : multi_((SetUpCurl(), curl_multi_init()), &curl_multi_cleanup) {
  HEARTH_CHECK(multi_ != nullptr);
}

absl::Status HttpLoop::Run(int wait_ms, const std::atomic<bool>& stop,
                           const std::function<void(CURL*, CURLcode)>& ended) {
  if (stop) return absl::CancelledError();
  int running = 0, left = 0;
  CURLMcode code = curl_multi_perform(multi(), &running);
  bool any = false;
  while (const CURLMsg* message = curl_multi_info_read(multi(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    any = true;
    ended(message->easy_handle, message->data.result);
  }
  if (code == CURLM_OK && !any) code = curl_multi_poll(multi(), nullptr, 0, wait_ms, nullptr);
  return code == CURLM_OK ? absl::OkStatus() : absl::InternalError(curl_multi_strerror(code));
}

HttpRequest::HttpRequest(HttpLoop& loop, const HttpOptions& options, Sink sink)
    : loop_(loop),
      options_(options),
      sink_(std::move(sink)),
      easy_(curl_easy_init(), &curl_easy_cleanup),
      list_(nullptr, &curl_slist_free_all) {
  HEARTH_CHECK(easy_ != nullptr);
}

void HttpRequest::Start(const std::string& url, const std::vector<std::string>& headers) {
  url_ = url;
  headers_ = headers;
  redirects_ = 0;
  Send();
}

bool HttpRequest::SendsToken() const {
  return !options_.token.empty() && OriginOf(url_) == options_.token_origin;
}

void HttpRequest::Send() {
  CURL* const easy = easy_.get();
  curl_easy_reset(easy);
  answer_ = {};
  seen_bytes_ = 0;
  last_byte_ = std::chrono::steady_clock::now();
  sink_status_ = absl::OkStatus();
  list_.reset();
  std::vector<std::string> headers = headers_;
  headers.push_back("Accept-Encoding: identity");
  if (SendsToken()) {
    headers.push_back(absl::StrCat("Authorization: Bearer ", options_.token));
  }
  for (const std::string& header : headers) list_.reset(curl_slist_append(list_.release(), header.c_str()));
  curl_easy_setopt(easy, CURLOPT_URL, url_.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list_.get());
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "hearth");
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  // Each range is to have a connection of its own; HTTP/2 would send all over one.
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, std::min<long>(kConnectSeconds, options_.stall_seconds));
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, &HttpRequest::OnProgress);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, this);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kBufferBytes);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &HttpRequest::OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &HttpRequest::OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  HEARTH_CHECK(curl_multi_add_handle(loop_.multi(), easy) == CURLM_OK);
  active_ = true;
}

void HttpRequest::Abandon() {
  if (active_) curl_multi_remove_handle(loop_.multi(), easy_.get());
  active_ = false;
}

size_t HttpRequest::OnHeader(char* data, size_t size, size_t count, void* request) {
  static_cast<HttpRequest*>(request)->answer_.AddLine({data, size * count});
  return size * count;
}

size_t HttpRequest::OnBody(char* data, size_t size, size_t count, void* request) {
  auto& self = *static_cast<HttpRequest*>(request);
  const size_t bytes = size * count;
  if (!IsBody(self.answer_)) return bytes;  // words about a refusal
  self.sink_status_ = IsPlain(self.answer_)
                          ? self.sink_(self.answer_, {reinterpret_cast<const uint8_t*>(data), bytes})
                          : absl::UnavailableError("the server sends it compressed, which nobody asked for");
  return self.sink_status_.ok() ? bytes : CURL_WRITEFUNC_ERROR;
}

// libcurl's own limit takes the mean of five seconds and so notices late.
int HttpRequest::OnProgress(void* request, curl_off_t, curl_off_t bytes, curl_off_t, curl_off_t) {
  auto& self = *static_cast<HttpRequest*>(request);
  const auto now = std::chrono::steady_clock::now();
  if (std::exchange(self.seen_bytes_, bytes) != bytes) self.last_byte_ = now;
  return now - self.last_byte_ >= std::chrono::seconds(self.options_.stall_seconds) ? 1 : 0;
}

std::optional<HttpEnd> HttpRequest::Ended(CURLcode code) {
  Abandon();
  if (!sink_status_.ok()) return HttpEnd{HttpEnd::kFailed, sink_status_};
  if (code != CURLE_OK) return Failure(code);
  if (answer_.status >= 300 && answer_.status < 400) {
    HttpEnd end = Redirected();
    if (end.kind != HttpEnd::kDone) return end;
    Send();
    return std::nullopt;
  }
  if (IsBody(answer_)) return HttpEnd{};
  curl_off_t seconds = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RETRY_AFTER, &seconds);
  return EndOfRefusal(answer_.status, static_cast<uint64_t>(std::max<curl_off_t>(seconds, 0)), SendsToken());
}

HttpEnd HttpRequest::Redirected() {
  char* location = nullptr;
  curl_easy_getinfo(easy_.get(), CURLINFO_REDIRECT_URL, &location);
  if (location == nullptr) {
    return {HttpEnd::kFailed, absl::UnavailableError(absl::StrCat("the server redirects to nowhere (HTTP ",
                                                                  answer_.status, ")"))};
  }
  if (++redirects_ > kMostRedirects) {
    return {HttpEnd::kFailed,
            absl::UnavailableError(absl::StrCat("it redirects more than ", kMostRedirects, " times"))};
  }
  const std::string next = location;
  if (absl::Status status = CheckRedirect(url_, next); !status.ok())
    return {HttpEnd::kFailed, std::move(status)};
  url_ = next;
  return {};
}

HttpEnd HttpRequest::Failure(CURLcode code) const {
  const std::string words = Printable(curl_easy_strerror(code));
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
      return {HttpEnd::kUnreachable, absl::UnavailableError(words)};
    case CURLE_ABORTED_BY_CALLBACK:
    case CURLE_OPERATION_TIMEDOUT: {
      curl_off_t connected_us = 0;
      curl_easy_getinfo(easy_.get(), CURLINFO_PRETRANSFER_TIME_T, &connected_us);
      return {connected_us > 0 ? HttpEnd::kAgain : HttpEnd::kUnreachable,
              absl::UnavailableError(absl::StrCat("nothing came for ", options_.stall_seconds, " seconds"))};
    }
    case CURLE_PARTIAL_FILE:
      return {HttpEnd::kAgain,
              absl::UnavailableError("the server ended before all had come that it announced")};
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      return {HttpEnd::kAgain, absl::UnavailableError(absl::StrCat("the connection broke (", words, ")"))};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return {HttpEnd::kFailed,
              absl::UnavailableError(
                  "the server's certificate does not hold; look whether the clock is right and the "
                  "package ca-certificates is installed")};
    default:
      return {HttpEnd::kFailed, absl::UnavailableError(words)};
  }
}

absl::StatusOr<std::string> FetchText(const std::string& url, uint64_t most_bytes, const HttpOptions& options,
                                      const std::atomic<bool>& stop, HttpAnswer& answer) {
  HttpLoop loop;
  std::string text;
  HttpRequest request(loop, options, [&](const HttpAnswer&, absl::Span<const uint8_t> bytes) {
    if (bytes.size() > most_bytes - text.size()) return absl::OutOfRangeError("the answer is too long");
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return absl::OkStatus();
  });
  Retries retries(options.retries);
  using Clock = std::chrono::steady_clock;
  Clock::time_point not_before = Clock::now();
  std::optional<HttpEnd> end;
  for (;;) {
    if (!request.active() && Clock::now() >= not_before) {
      text.clear();
      request.Start(url, {});
    }
    end.reset();
    HEARTH_RETURN_IF_ERROR(loop.Run(100, stop, [&](CURL*, CURLcode code) { end = request.Ended(code); }));
    if (!end) continue;
    if (end->kind == HttpEnd::kDone) break;
    const std::optional<double> wait =
        end->kind == HttpEnd::kAgain ? retries.WaitSeconds(end->wait_seconds) : std::nullopt;
    if (!wait)
      return absl::Status(end->status.code(),
                          absl::StrCat("cannot fetch ", ShownUrl(url), ": ", end->status.message()));
    not_before = Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(*wait * 1000));
  }
  answer = request.answer();
  return text;
}

}  // namespace hearth
