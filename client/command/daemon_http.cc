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

// Why there is no answer, for people.
std::string ReasonOf(CURL* easy, CURLcode code) {
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (status == 401 || status == 403) return absl::StrCat("it wants a key that counts (HTTP ", status, ")");
  if (status >= 400) return absl::StrCat("it answers with HTTP ", status);
  return curl_easy_strerror(code);
}

}  // namespace

absl::StatusOr<std::string> GetFromDaemon(const DaemonHttp& http, const std::string& path,
                                          std::string_view enough) {
  const std::string url = absl::StrCat(http.key.empty() ? "http://" : "https://", http.address, path);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(), &curl_easy_cleanup);
  Answer answer{.text = "", .enough = enough};
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(
      http.key.empty() ? nullptr
                       : curl_slist_append(nullptr, absl::StrCat("Authorization: Bearer ", http.key).c_str()),
      &curl_slist_free_all);
  curl_easy_setopt(easy.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
  if (!http.authority.empty()) curl_easy_setopt(easy.get(), CURLOPT_CAINFO, http.authority.c_str());
  curl_easy_setopt(easy.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, kMilliseconds);
  curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &Take);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &answer);
  const CURLcode code = curl_easy_perform(easy.get());
  const bool is_stream = !enough.empty() && code == CURLE_OPERATION_TIMEDOUT && !answer.text.empty();
  if (code == CURLE_OK || answer.complete || is_stream) return answer.text;
  return absl::UnavailableError(absl::StrCat(url, ": ", ReasonOf(easy.get(), code)));
}

}  // namespace hearth
