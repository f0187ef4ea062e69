#ifndef HEARTH_DAEMON_HTTP_API_ERROR_H_
#define HEARTH_DAEMON_HTTP_API_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "daemon/http/exchange.h"

namespace hearth {

// An error as OpenAI's clients know it.
struct ApiError {
  int http_code = 500;
  std::string message;
  std::string param;  // empty: null
  std::string code;   // empty: null
};

// The words are those that gRPC clients read; clients tell by the code whether to try again (429, 5xx).
ApiError ToApiError(const absl::Status& status);
// What the server refuses by itself: no param, no code.
ApiError Refusal(int http_code, std::string message);
// {"error": {"message", "type", "param", "code"}}.
std::string ErrorBody(const ApiError& error);
// The error as a whole answer.
HttpResponse ErrorResponse(const ApiError& error);

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_API_ERROR_H_
