#include "client/command/daemon_http.h"

#include <curl/curl.h>

#include <memory>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

constexpr long kMilliseconds = 3000;
constexpr size_t kMostBytes = size_t{2} << 20;

struct Answer {
  std::string text;
  std::string_view enough;
  bool complete = false;
};

// curl ends the request where fewer bytes are taken than came.
size_t Take(char* data, size_t size, size_t count, void* to) {
  Answer& answer = *static_cast<Answer*>(to);
  const size_t bytes = size * count;
  if (bytes > kMostBytes - answer.text.size()) return 0;
  answer.text.append(data, bytes);
  answer.complete = !answer.enough.empty() && answer.text.find(answer.enough) != std::string::npos;
  return answer.complete ? 0 : bytes;
}

}  // namespace

absl::StatusOr<std::string> GetFromDaemon(const std::string& address, const std::string& path,
                                          std::string_view enough) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(), &curl_easy_cleanup);
  Answer answer{.text = "", .enough = enough};
  curl_easy_setopt(easy.get(), CURLOPT_URL, absl::StrCat("http://", address, path).c_str());
  curl_easy_setopt(easy.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, kMilliseconds);
  curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &Take);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &answer);
  const CURLcode code = curl_easy_perform(easy.get());
  const bool is_stream = !enough.empty() && code == CURLE_OPERATION_TIMEDOUT && !answer.text.empty();
  if (code == CURLE_OK || answer.complete || is_stream) return answer.text;
  return absl::UnavailableError(absl::StrCat("http://", address, path, ": ", curl_easy_strerror(code)));
}

}  // namespace hearth
