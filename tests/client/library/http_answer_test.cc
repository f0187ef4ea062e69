#include "client/library/http_answer.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::HasSubstr;

TEST(ParseContentRangeTest, EndIsBehindTheLastByte) {
  const std::optional<ContentRange> range = ParseContentRange("bytes 5-9/20");
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->begin, 5u);
  EXPECT_EQ(range->end, 10u);
  EXPECT_EQ(range->total, 20u);
  EXPECT_EQ(ParseContentRange("bytes 0-0/*")->total, std::nullopt);
}

TEST(ParseContentRangeTest, ImpossibleRangesAreNone) {
  for (const char* text :
       {"", "bytes", "bytes */20", "bytes 9-5/20", "bytes 5-20/20", "bytes 5-9/20 ", "bytes -5-9/20",
        "bytes 0-18446744073709551615/*", "bytes 0-99999999999999999999/*", "items 0-1/2"}) {
    EXPECT_FALSE(ParseContentRange(text).has_value()) << text;
  }
}

HttpAnswer Read(const std::vector<std::string>& lines) {
  HttpAnswer answer;
  for (const std::string& line : lines) answer.AddLine(line);
  return answer;
}

TEST(HttpAnswerTest, HeadsAreReadInAnyCase) {
  const HttpAnswer answer = Read({"HTTP/1.1 206 Partial Content\r\n", "content-LENGTH: 10\r\n",
                                  "ETag: \"x\"\r\n", "Content-Range:bytes 0-9/10\r\n", "\r\n"});
  EXPECT_EQ(answer.status, 206u);
  EXPECT_EQ(answer.content_length, 10u);
  EXPECT_EQ(answer.content_range, "bytes 0-9/10");
  EXPECT_EQ(answer.Validator(), "\"x\"");
}

TEST(HttpAnswerTest, AStatusLineBeginsAnew) {
  const HttpAnswer answer =
      Read({"HTTP/1.1 100 Continue\r\n", "ETag: \"old\"\r\n", "\r\n", "HTTP/1.1 200 OK\r\n"});
  EXPECT_EQ(answer.status, 200u);
  EXPECT_EQ(answer.etag, "");
}

TEST(HttpAnswerTest, SenselessHeadsAreNothing) {
  const HttpAnswer answer = Read({"HTTP/1.1", "Content-Length: -5\r\n", "no colon\r\n", ": \r\n"});
  EXPECT_EQ(answer.status, 0u);
  EXPECT_FALSE(answer.content_length.has_value());
  EXPECT_FALSE(Read({"HTTP/1.1 200 OK", "Content-Length: 99999999999999999999"}).content_length.has_value());
  EXPECT_FALSE(Read({"HTTP/1.1 200 OK", "Content-Length: 5x"}).content_length.has_value());
}

TEST(HttpAnswerTest, WeakTagsAreNoValidators) {
  EXPECT_EQ(Read({"HTTP/1.1 200 OK", "ETag: W/\"x\"", "Last-Modified: Mon"}).Validator(), "Mon");
  EXPECT_EQ(Read({"HTTP/1.1 200 OK", "ETag: W/\"x\""}).Validator(), "");
}

TEST(EndOfRefusalTest, BusyServersAreAskedAgainAndOthersAreNot) {
  for (const uint32_t status : {408u, 429u, 500u, 502u, 503u, 504u}) {
    EXPECT_EQ(EndOfRefusal(status, 0, false).kind, HttpEnd::kAgain) << status;
  }
  for (const uint32_t status : {0u, 204u, 400u, 401u, 403u, 404u, 410u, 501u}) {
    EXPECT_EQ(EndOfRefusal(status, 0, false).kind, HttpEnd::kFailed) << status;
  }
}

TEST(EndOfRefusalTest, LongWaitsAreLeftToThePerson) {
  EXPECT_EQ(EndOfRefusal(429, 30, false).wait_seconds, 30u);
  const HttpEnd end = EndOfRefusal(429, 3600, false);
  EXPECT_EQ(end.kind, HttpEnd::kFailed);
  EXPECT_THAT(std::string(end.status.message()), HasSubstr("3600 seconds"));
}

TEST(EndOfRefusalTest, SaysWhatAClosedModelNeeds) {
  EXPECT_THAT(std::string(EndOfRefusal(401, 0, false).status.message()), HasSubstr("into HF_TOKEN"));
  EXPECT_THAT(std::string(EndOfRefusal(403, 0, true).status.message()),
              HasSubstr("accept the model's terms"));
}

TEST(RetriesTest, WaitsTwiceAsLongEachTimeAndGivesUp) {
  Retries retries(3);
  EXPECT_EQ(retries.WaitSeconds(0), 0.5);
  EXPECT_EQ(retries.WaitSeconds(0), 1);
  EXPECT_EQ(retries.WaitSeconds(7), 7);
  EXPECT_EQ(retries.WaitSeconds(0), std::nullopt);
}

TEST(RetriesTest, BytesThatComeCountAsSuccessButAFewDoNot) {
  Retries retries(1);
  EXPECT_TRUE(retries.WaitSeconds(0).has_value());
  retries.Succeeded(1000);
  EXPECT_FALSE(retries.WaitSeconds(0).has_value());
  retries.Succeeded(1 << 20);
  EXPECT_TRUE(retries.WaitSeconds(0).has_value());
}

TEST(RetriesTest, NoWaitIsLongerThanAMinute) {
  Retries retries(100);
  for (int i = 0; i < 100; ++i) EXPECT_LE(retries.WaitSeconds(1000).value(), 60);
}

}  // namespace
}  // namespace hearth
