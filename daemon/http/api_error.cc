#include "daemon/http/api_error.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/http/json_input.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

int HttpCodeOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

const char* TypeOf(int http_code) {
  if (http_code == 401) return "authentication_error";
  if (http_code == 403) return "permission_error";
  if (http_code == 429) return "rate_limit_error";
  return http_code < 500 ? "invalid_request_error" : "server_error";
}

nlohmann::ordered_json TextOrNull(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(text);
}

}  // namespace

ApiError ToApiError(const absl::Status& status) {
  ApiError error;
  error.http_code = HttpCodeOf(status.code());
  error.message = std::string(status.message());
  error.param = ParamOf(status);
  if (absl::IsNotFound(status)) {
    error.code = "model_not_found";
    error.param = "model";
  }
  if (absl::IsOutOfRange(status)) error.code = "context_length_exceeded";
  return error;
}

ApiError Refusal(int http_code, std::string message) {
  ApiError error;
  error.http_code = http_code;
  error.message = std::move(message);
  return error;
}

std::string ErrorBody(const ApiError& error) {
  nlohmann::ordered_json body;
  body["error"] = {{"message", Printable(error.message, 2 * kMaxDetailBytes)},
                   {"type", TypeOf(error.http_code)},
                   {"param", TextOrNull(error.param)},
                   {"code", TextOrNull(error.code)}};
  return body.dump();
}

HttpResponse ErrorResponse(const ApiError& error) {
  HttpResponse response;
  response.code = error.http_code;
  response.content_type = "application/json";
  response.body = ErrorBody(error);
  return response;
}

}  // namespace hearth
