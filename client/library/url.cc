#include "client/library/url.h"

#include <curl/curl.h>

#include <memory>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr size_t kMaxUrlBytes = 8192;
constexpr char kEnding[] = ".gguf";

using CurlUrl = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

// Null where it cannot be read.
CurlUrl ParsedUrl(const std::string& url) {
  CurlUrl parsed(curl_url(), &curl_url_cleanup);
  const bool read = parsed && url.size() <= kMaxUrlBytes && url.find('\0') == std::string::npos &&
                    curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) == CURLUE_OK;
  return read ? std::move(parsed) : CurlUrl(nullptr, &curl_url_cleanup);
}

// Empty where there is none.
std::string PartOf(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (url == nullptr || curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  const std::unique_ptr<char, decltype(&curl_free)> owner(text, &curl_free);
  return text;
}

absl::Status Refused(std::string_view what, std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(AbslView(what), ": ", AbslView(problem)));
}

}  // namespace

absl::Status CheckUrl(std::string_view what, const std::string& url) {
  HEARTH_RETURN_IF_ERROR(CheckPath(AbslView(what), url));
  const CurlUrl parsed = ParsedUrl(url);
  const std::string scheme = PartOf(parsed.get(), CURLUPART_SCHEME);
  if ((scheme != "http" && scheme != "https") || PartOf(parsed.get(), CURLUPART_HOST).empty()) {
    return Refused(what, absl::StrCat("\"", Printable(url, kMaxNameBytes), "\" is no URL of http or https"));
  }
  if (!PartOf(parsed.get(), CURLUPART_USER).empty() || !PartOf(parsed.get(), CURLUPART_PASSWORD).empty()) {
    return Refused(what, "URLs with a user's name or password are not taken; leave out what stands before @");
  }
  return absl::OkStatus();
}

std::string OriginOf(const std::string& url) {
  const CurlUrl parsed = ParsedUrl(url);
  return absl::StrCat(PartOf(parsed.get(), CURLUPART_SCHEME), "://",
                      absl::AsciiStrToLower(PartOf(parsed.get(), CURLUPART_HOST)), ":",
                      PartOf(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

std::string ShownUrl(const std::string& url) {
  const size_t at = url.find_first_of("?#");
  return Printable(url.substr(0, at), 512);
}

std::string LastNameOf(const std::string& url) {
  const CurlUrl parsed = ParsedUrl(url);
  const std::string path = PartOf(parsed.get(), CURLUPART_PATH);
  const std::string last = path.substr(path.rfind('/') + 1);
  int bytes = 0;
  const std::unique_ptr<char, decltype(&curl_free)> name(
      curl_easy_unescape(nullptr, last.c_str(), static_cast<int>(last.size()), &bytes), &curl_free);
  return name ? std::string(name.get(), static_cast<size_t>(bytes)) : "";
}

std::string EscapedPath(std::string_view path) {
  std::string escaped;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || absl::StrContains("-._~/", absl::string_view(&c, 1))) {
      escaped += c;
    } else {
      absl::StrAppendFormat(&escaped, "%%%02X", byte);
    }
  }
  return escaped;
}

absl::Status CheckRedirect(const std::string& from, const std::string& to) {
  const absl::Status url = CheckUrl("the new address", to);
  if (!url.ok())
    return absl::PermissionDeniedError(absl::StrCat("it redirects elsewhere, but ", url.message()));
  if (from.starts_with("https:") && !to.starts_with("https:")) {
    return absl::PermissionDeniedError(
        absl::StrCat("it redirects from https to ", ShownUrl(to), ", which is not encrypted"));
  }
  return absl::OkStatus();
}

absl::Status CheckModelFileName(std::string_view what, const std::string& name) {
  HEARTH_RETURN_IF_ERROR(CheckName(AbslView(what), name));
  if (name.find_first_of("/\\") != std::string::npos) {
    return Refused(what, absl::StrCat("\"", name, "\" has a slash, which no file's name may have"));
  }
  if (name.front() == '.') return Refused(what, absl::StrCat("\"", name, "\" begins with a dot"));
  if (!absl::EndsWithIgnoreCase(name, kEnding)) {
    return Refused(what, absl::StrCat("\"", name, "\" does not end with ", kEnding));
  }
  return absl::OkStatus();
}

}  // namespace hearth
