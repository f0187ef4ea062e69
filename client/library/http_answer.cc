#include "client/library/http_answer.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"

namespace hearth {
namespace {

constexpr double kFirstWaitSeconds = 0.5;
constexpr uint64_t kBytesOfSuccess = 1 << 20;
constexpr size_t kMaxValidatorBytes = 512;

// Takes a whole number off the front of `text`; nullopt where there is none.
std::optional<uint64_t> TakeNumber(std::string_view& text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

bool TakeText(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

HttpEnd Refusal(HttpEnd::Kind kind, absl::Status status, uint64_t wait_seconds = 0) {
  return {kind, std::move(status), wait_seconds};
}

}  // namespace

std::optional<ContentRange> ParseContentRange(std::string_view text) {
  if (!TakeText(text, "bytes ")) return std::nullopt;
  const std::optional<uint64_t> first = TakeNumber(text);
  if (!first || !TakeText(text, "-")) return std::nullopt;
  const std::optional<uint64_t> last = TakeNumber(text);
  if (!last || *last < *first || *last == UINT64_MAX || !TakeText(text, "/")) return std::nullopt;
  ContentRange range{*first, *last + 1, std::nullopt};
  if (text == "*") return range;
  range.total = TakeNumber(text);
  if (!range.total || !text.empty() || *range.total < range.end) return std::nullopt;
  return range;
}

void HttpAnswer::AddLine(std::string_view line) {
  if (line.starts_with("HTTP/")) {
    *this = {};
    std::string_view rest = line.substr(std::min(line.size(), line.find(' ')));
    while (TakeText(rest, " ")) continue;
    status = static_cast<uint32_t>(std::min<uint64_t>(TakeNumber(rest).value_or(0), 999));
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const absl::string_view name = AbslView(line.substr(0, colon));
  const std::string value(absl::StripAsciiWhitespace(AbslView(line.substr(colon + 1))));
  const auto is = [&](absl::string_view wanted) { return absl::EqualsIgnoreCase(name, wanted); };
  if (is("Content-Length")) {
    std::string_view digits = value;
    content_length = TakeNumber(digits);
    if (!digits.empty()) content_length.reset();
  } else if (is("Content-Range")) {
    content_range = value;
  } else if (is("Content-Encoding")) {
    content_encoding = value;
  } else if (is("ETag")) {
    etag = value;
  } else if (is("Last-Modified")) {
    last_modified = value;
  } else if (is("Link")) {
    link = value;
  }
}

std::string HttpAnswer::Validator() const {
  const bool strong = etag.starts_with('"') && etag.size() <= kMaxValidatorBytes;
  return strong ? etag : last_modified.substr(0, kMaxValidatorBytes);
}

HttpEnd EndOfRefusal(uint32_t status, uint64_t retry_after_seconds, bool has_token) {
  const std::string code = absl::StrCat(" (HTTP ", status, ")");
  switch (status) {
    case 401:
    case 403:
      return Refusal(
          HttpEnd::kFailed,
          absl::PermissionDeniedError(absl::StrCat(
              "the server does not let everybody have it", code, "; look for a mistake in its name, ",
              has_token ? "or accept the model's terms on its page with the account of HF_TOKEN"
                        : "or put a token for it into HF_TOKEN")));
    case 404:
    case 410:
      return Refusal(HttpEnd::kFailed, absl::NotFoundError(absl::StrCat("there is no such thing", code,
                                                                        "; look for a mistake in its name")));
    default:
      break;
  }
  const bool busy = status == 429 || status == 503;
  const absl::Status failed = absl::UnavailableError(
      absl::StrCat(busy ? "the server has too much to do" : "the server cannot do it", code));
  if (status != 408 && status != 429 && (status < 500 || status == 501))
    return Refusal(HttpEnd::kFailed, failed);
  if (retry_after_seconds > Retries::kLongestWaitSeconds) {
    return Refusal(HttpEnd::kFailed,
                   absl::UnavailableError(absl::StrCat(failed.message(), "; it asks to try again in ",
                                                       retry_after_seconds, " seconds")));
  }
  return Refusal(HttpEnd::kAgain, failed, retry_after_seconds);
}

std::optional<double> Retries::WaitSeconds(uint64_t asked_seconds) {
  if (failed_ >= most_) return std::nullopt;
  bytes_ = 0;
  const double wait =
      kFirstWaitSeconds * static_cast<double>(uint64_t{1} << std::min<uint32_t>(failed_++, 6));
  return std::min(std::max(wait, static_cast<double>(asked_seconds)),
                  static_cast<double>(kLongestWaitSeconds));
}

void Retries::Succeeded(uint64_t bytes) {
  bytes_ += std::min(bytes, kBytesOfSuccess);
  if (bytes_ >= kBytesOfSuccess) failed_ = 0;
}

}  // namespace hearth
