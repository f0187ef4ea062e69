#include "daemon/http/api_error.h"

#include <nlohmann/json.hpp>

#include "daemon/http/json_input.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

TEST(ApiErrorTest, HasTheShapeThatClientsParse) {
  const HttpResponse response = ErrorResponse(ToApiError(ParamError("top_p", "is 7")));
  EXPECT_EQ(response.code, 400);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(
      response.body,
      R"({"error":{"message":"top_p is 7","type":"invalid_request_error","param":"top_p","code":null}})");
}

TEST(ApiErrorTest, TellsByItsCodeWhetherToTryAgain) {
  EXPECT_EQ(ToApiError(absl::InvalidArgumentError("x")).http_code, 400);
  EXPECT_EQ(ToApiError(absl::FailedPreconditionError("x")).http_code, 400);
  EXPECT_EQ(ToApiError(absl::NotFoundError("x")).http_code, 404);
  EXPECT_EQ(ToApiError(absl::ResourceExhaustedError("x")).http_code, 429);
  EXPECT_EQ(ToApiError(absl::InternalError("x")).http_code, 500);
  EXPECT_EQ(ToApiError(absl::UnavailableError("x")).http_code, 503);
  EXPECT_EQ(ToApiError(absl::DeadlineExceededError("x")).http_code, 504);
}

TEST(ApiErrorTest, NamesTheKindsThatClientsKnow) {
  EXPECT_EQ(ToApiError(absl::OutOfRangeError("x")).code, "context_length_exceeded");
  EXPECT_EQ(ToApiError(absl::NotFoundError("x")).code, "model_not_found");
  const auto type = [](const absl::Status& status) {
    return nlohmann::json::parse(ErrorBody(ToApiError(status)))["error"]["type"].get<std::string>();
  };
  EXPECT_EQ(type(absl::ResourceExhaustedError("x")), "rate_limit_error");
  EXPECT_EQ(type(absl::UnavailableError("x")), "server_error");
}

TEST(ApiErrorTest, StaysJsonWhateverTheMessageQuotes) {
  const std::string body = ErrorBody(ToApiError(absl::InternalError("\xff\x01\"\n")));
  EXPECT_TRUE(nlohmann::json::accept(body)) << body;
}

}  // namespace
}  // namespace hearth
