#include "daemon/openai/response_answer.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::ElementsAre;

std::vector<v1::GenerateResponse> Events(v1::FinishReason reason = v1::FINISH_REASON_STOP_TOKEN) {
  std::vector<v1::GenerateResponse> events(5);
  events[0].mutable_started()->set_model("m");
  events[0].mutable_started()->set_prompt_tokens(3);
  events[1].mutable_delta()->set_reasoning("hm");
  events[2].mutable_delta()->set_text("a");
  events[3].mutable_delta()->set_text("b");
  v1::Finished& finished = *events[4].mutable_finished();
  finished.set_reason(reason);
  finished.mutable_usage()->set_prompt_tokens(3);
  finished.mutable_usage()->set_generated_tokens(4);
  finished.mutable_usage()->set_cached_tokens(1);
  return events;
}

v1::GenerateResponse Call() {
  v1::GenerateResponse event;
  v1::ToolCall& call = *event.mutable_delta()->add_tool_calls();
  call.set_id("c1");
  call.set_name("f");
  call.set_arguments(R"({"x":1})");
  return event;
}

ResponseAnswer Answering(bool stream) {
  ResponseRequest request;
  request.stream = stream;
  request.settings = {{"store", false}};
  return ResponseAnswer(request, "7", 12);
}

// The events of a stream; each has its type as its name and the number that is next.
std::vector<json> ParseEvents(const std::string& stream) {
  std::vector<json> events;
  for (const absl::string_view event : absl::StrSplit(stream, "\n\n", absl::SkipEmpty())) {
    const std::vector<std::string> lines = absl::StrSplit(event, '\n');
    EXPECT_EQ(lines.size(), 2u) << event;
    events.push_back(json::parse(lines.at(1).substr(6)));
    EXPECT_EQ(lines[0], "event: " + events.back()["type"].get<std::string>());
    EXPECT_EQ(events.back()["sequence_number"], events.size() - 1);
  }
  return events;
}

std::vector<std::string> Types(const std::vector<json>& events) {
  std::vector<std::string> types;
  for (const json& event : events) types.push_back(event["type"]);
  return types;
}

TEST(ResponseAnswerTest, WholeAnswerHasItsItemsAndUsage) {
  ResponseAnswer answer = Answering(false);
  for (const auto& event : Events()) EXPECT_EQ(answer.Take(0, event), "");
  const json response = json::parse(answer.Whole());
  EXPECT_EQ(response["id"], "resp_7");
  EXPECT_EQ(response["object"], "response");
  EXPECT_EQ(response["created_at"], 12);
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["model"], "m");
  EXPECT_EQ(response["store"], false);
  ASSERT_EQ(response["output"].size(), 2u);
  EXPECT_EQ(response["output"][0]["type"], "reasoning");
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "hm");
  EXPECT_EQ(response["output"][1]["type"], "message");
  EXPECT_EQ(response["output"][1]["content"][0]["type"], "output_text");
  EXPECT_EQ(response["output"][1]["content"][0]["text"], "ab");
  EXPECT_EQ(response["usage"]["input_tokens"], 3);
  EXPECT_EQ(response["usage"]["input_tokens_details"]["cached_tokens"], 1);
  EXPECT_EQ(response["usage"]["output_tokens"], 4);
  EXPECT_EQ(response["usage"]["total_tokens"], 7);
}

TEST(ResponseAnswerTest, StreamTellsOfEachItem) {
  ResponseAnswer answer = Answering(true);
  std::string stream;
  for (const auto& event : Events()) stream += answer.Take(0, event);
  const std::vector<json> events = ParseEvents(stream + answer.StreamEnd());
  EXPECT_THAT(
      Types(events),
      ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                  "response.content_part.added", "response.reasoning_text.delta",
                  "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
                  "response.output_item.added", "response.content_part.added", "response.output_text.delta",
                  "response.output_text.delta", "response.output_text.done", "response.content_part.done",
                  "response.output_item.done", "response.completed"));
  EXPECT_EQ(events[0]["response"]["status"], "in_progress");
  EXPECT_EQ(events[8]["item"]["content"], json::array());
  EXPECT_EQ(events[11]["delta"], "b");
  EXPECT_EQ(events[11]["output_index"], 1);
  EXPECT_EQ(events[11]["item_id"], events[8]["item"]["id"]);
  EXPECT_EQ(events[12]["text"], "ab");
  EXPECT_EQ(events[14]["item"]["status"], "completed");
  EXPECT_EQ(events[15]["response"]["output"][1], events[14]["item"]);
}

TEST(ResponseAnswerTest, CallIsAnItemOfItsOwn) {
  ResponseAnswer answer = Answering(true);
  std::vector<v1::GenerateResponse> given = Events();
  given.insert(given.begin() + 4, Call());
  std::string stream;
  for (const auto& event : given) stream += answer.Take(0, event);
  const std::vector<json> events = ParseEvents(stream + answer.StreamEnd());
  const size_t first = events.size() - 5;
  EXPECT_EQ(events[first]["type"], "response.output_item.added");
  EXPECT_EQ(events[first]["item"]["arguments"], "");
  EXPECT_EQ(events[first + 1]["type"], "response.function_call_arguments.delta");
  EXPECT_EQ(events[first + 1]["delta"], R"({"x":1})");
  EXPECT_EQ(events[first + 2]["type"], "response.function_call_arguments.done");
  EXPECT_EQ(events[first + 2]["arguments"], R"({"x":1})");
  const json& item = events[first + 3]["item"];
  EXPECT_EQ(item["type"], "function_call");
  EXPECT_EQ(item["call_id"], "c1");
  EXPECT_EQ(item["name"], "f");
  EXPECT_EQ(events.back()["response"]["output"].size(), 3u);
}

TEST(ResponseAnswerTest, AnswerThatWasCutIsIncomplete) {
  ResponseAnswer answer = Answering(true);
  std::string stream;
  for (const auto& event : Events(v1::FINISH_REASON_LENGTH)) stream += answer.Take(0, event);
  const json last = ParseEvents(stream + answer.StreamEnd()).back();
  EXPECT_EQ(last["type"], "response.incomplete");
  EXPECT_EQ(last["response"]["status"], "incomplete");
  EXPECT_EQ(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(last["response"]["output"][1]["status"], "incomplete");
}

TEST(ResponseAnswerTest, ErrorWithinAStreamIsAnEvent) {
  ResponseAnswer answer = Answering(true);
  const std::string stream = answer.Take(0, Events()[0]);
  ApiError error;
  error.message = "a host was lost";
  const json last = ParseEvents(stream + answer.StreamError(error)).back();
  EXPECT_EQ(last["type"], "error");
  EXPECT_EQ(last["message"], "a host was lost");
  EXPECT_EQ(last["code"], nullptr);
}

TEST(ResponseAnswerTest, AnswerWithoutTextHasNoItems) {
  ResponseAnswer answer = Answering(false);
  answer.Take(0, Events()[0]);
  answer.Take(0, Events()[4]);
  EXPECT_EQ(json::parse(answer.Whole())["output"], json::array());
}

}  // namespace
}  // namespace hearth
