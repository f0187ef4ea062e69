#ifndef HEARTH_CLIENT_LIBRARY_HTTP_REQUEST_H_
#define HEARTH_CLIENT_LIBRARY_HTTP_REQUEST_H_

#include <curl/curl.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/library/http_answer.h"

namespace hearth {

struct HttpOptions {
  // Sent to the server `token_origin` (url.h) alone; either empty: to none.
  std::string token;
  std::string token_origin;
  uint32_t retries = 5;
  uint32_t stall_seconds = 30;  // without a byte: the connection counts as lost
};

// Runs requests in the caller's thread.
class HttpLoop {
 public:
  HttpLoop();

  CURLM* multi() const { return multi_.get(); }
  // Moves on what is under way, waits up to `wait_ms` for more to do, and tells which requests have ended.
  // CANCELLED once `stop` is set.
  absl::Status Run(int wait_ms, const std::atomic<bool>& stop,
                   const std::function<void(CURL*, CURLcode)>& ended);

 private:
  std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi_;
};

// A GET, which may be made over and over. Follows redirects as CheckRedirect allows. Not thread-safe.
class HttpRequest {
 public:
  // Gets the bytes of answers with 200 and 206, with the answer's head; an error ends the request.
  using Sink = std::function<absl::Status(const HttpAnswer&, absl::Span<const uint8_t>)>;

  // `loop` and `options` outlive it.
  HttpRequest(HttpLoop& loop, const HttpOptions& options, Sink sink);
  // Abandons what is under way.
  ~HttpRequest() { Abandon(); }
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;

  // Begins; `headers` as they are sent, "Range: bytes=0-9".
  void Start(const std::string& url, const std::vector<std::string>& headers);
  // What HttpLoop::Run told of it; nullopt where it goes on at another address.
  std::optional<HttpEnd> Ended(CURLcode code);
  void Abandon();

  bool active() const { return active_; }
  CURL* handle() const { return easy_.get(); }
  const HttpAnswer& answer() const { return answer_; }

 private:
  static size_t OnHeader(char* data, size_t size, size_t count, void* request);
  static size_t OnBody(char* data, size_t size, size_t count, void* request);
  static int OnProgress(void* request, curl_off_t, curl_off_t bytes, curl_off_t, curl_off_t);

  void Send();
  bool SendsToken() const;
  HttpEnd Failure(CURLcode code) const;
  HttpEnd Redirected();

  HttpLoop& loop_;
  const HttpOptions& options_;
  const Sink sink_;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> list_;
  std::vector<std::string> headers_;
  std::string url_;
  uint32_t redirects_ = 0;
  bool active_ = false;
  HttpAnswer answer_;
  curl_off_t seen_bytes_ = 0;
  std::chrono::steady_clock::time_point last_byte_;
  absl::Status sink_status_;
};

// The text at `url`, at most `most_bytes`, tried again as `options` say; `answer` gets its head. The error
// names the URL.
absl::StatusOr<std::string> FetchText(const std::string& url, uint64_t most_bytes, const HttpOptions& options,
                                      const std::atomic<bool>& stop, HttpAnswer& answer);

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_HTTP_REQUEST_H_
