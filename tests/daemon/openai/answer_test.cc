#include "daemon/openai/answer.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/openai/stream_events.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::ElementsAre;

CompletionRequest Asking(const json& body) {
  auto request = ReadCompletionRequest(body);
  EXPECT_TRUE(request.ok()) << request.status();
  return *std::move(request);
}

v1::GenerateResponse Started(uint32_t prompt_tokens = 3) {
  v1::GenerateResponse event;
  event.mutable_started()->set_model("m");
  event.mutable_started()->set_prompt_tokens(prompt_tokens);
  return event;
}

v1::GenerateResponse Delta(const std::string& text) {
  v1::GenerateResponse event;
  event.mutable_delta()->set_text(text);
  event.mutable_delta()->add_tokens(1);
  return event;
}

v1::GenerateResponse Finished(v1::FinishReason reason, uint32_t tokens = 2) {
  v1::GenerateResponse event;
  event.mutable_finished()->set_reason(reason);
  event.mutable_finished()->mutable_usage()->set_generated_tokens(tokens);
  event.mutable_finished()->mutable_usage()->set_cached_tokens(1);
  event.mutable_finished()->mutable_usage()->set_drafted_tokens(5);
  event.mutable_finished()->mutable_usage()->set_accepted_draft_tokens(2);
  return event;
}

TEST(CompletionAnswerTest, WholeAnswerHasTextReasonAndUsage) {
  CompletionAnswer answer(Asking({{"prompt", "x"}}), "cmpl-1", 12);
  for (const auto& event : {Started(), Delta("a"), Delta("b"), Finished(v1::FINISH_REASON_STOP_TOKEN)}) {
    EXPECT_EQ(answer.Take(0, event), "");
  }
  EXPECT_EQ(
      answer.Whole(),
      R"({"id":"cmpl-1","object":"text_completion","created":12,"model":"m","choices":[{"text":"ab","index":0,)"
      R"("logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,)"
      R"("total_tokens":5,"prompt_tokens_details":{"cached_tokens":1},)"
      R"("completion_tokens_details":{"accepted_prediction_tokens":2,"rejected_prediction_tokens":3}}})");
}

TEST(CompletionAnswerTest, StreamHasAChunkForEachTextAndOneForTheReason) {
  CompletionAnswer answer(Asking({{"prompt", "x"}, {"stream", true}}), "cmpl-1", 12);
  std::string lines;
  for (const auto& event : {Started(), Delta("a"), Delta(""), Finished(v1::FINISH_REASON_LENGTH)}) {
    lines += answer.Take(0, event);
  }
  const std::vector<json> events = StreamEvents(lines + answer.StreamEnd());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0]["choices"][0]["text"], "a");
  EXPECT_TRUE(events[0]["choices"][0]["finish_reason"].is_null());
  EXPECT_FALSE(events[0].contains("usage"));
  EXPECT_EQ(events[1]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(events[1]["id"], events[0]["id"]);
  EXPECT_TRUE(events[2].is_null());
}

TEST(CompletionAnswerTest, UsageComesLastWhereItIsAskedFor) {
  CompletionAnswer answer(
      Asking({{"prompt", "x"}, {"stream", true}, {"stream_options", {{"include_usage", true}}}}), "i", 1);
  answer.Take(0, Started());
  const std::string lines = answer.Take(0, Delta("a")) + answer.Take(0, Finished(v1::FINISH_REASON_LENGTH));
  const std::vector<json> events = StreamEvents(lines + answer.StreamEnd());
  ASSERT_EQ(events.size(), 4u);
  EXPECT_TRUE(events[0]["usage"].is_null());
  EXPECT_TRUE(events[2]["choices"].empty());
  EXPECT_EQ(events[2]["usage"]["total_tokens"], 5);
}

TEST(CompletionAnswerTest, PromptTokensCountOnceForAllAnswersToAPrompt) {
  CompletionAnswer answer(Asking({{"prompt", {"x", "y"}}, {"n", 2}}), "i", 1);
  for (size_t i : {3, 1, 0, 2}) {
    answer.Take(i, Started(i < 2 ? 10 : 1));
    answer.Take(i, Finished(v1::FINISH_REASON_LENGTH));
  }
  const json whole = json::parse(answer.Whole());
  EXPECT_EQ(whole["usage"]["prompt_tokens"], 11);
  EXPECT_EQ(whole["usage"]["completion_tokens"], 8);
  EXPECT_EQ(whole["choices"].size(), 4u);
  EXPECT_EQ(whole["choices"][3]["index"], 3);
}

TEST(CompletionAnswerTest, EchoBeginsTheText) {
  CompletionAnswer answer(Asking({{"prompt", "x"}, {"echo", true}}), "i", 1);
  answer.Take(0, Started());
  answer.Take(0, Delta("y"));
  EXPECT_EQ(json::parse(answer.Whole())["choices"][0]["text"], "xy");
}

TEST(CompletionAnswerTest, LogprobsNameTokensAndWhereTheyBegin) {
  CompletionAnswer answer(Asking({{"prompt", "x"}, {"logprobs", 1}}), "i", 1);
  v1::GenerateResponse event;
  for (const char* text : {"é", "\xf0\x9f", "b"}) {
    v1::TokenLogprobs* entry = event.mutable_delta()->add_logprobs();
    entry->mutable_chosen()->set_text(text);
    entry->mutable_chosen()->set_logprob(-std::numeric_limits<float>::infinity());
    entry->add_top()->set_text("c");
    entry->mutable_top(0)->set_logprob(-0.5);
  }
  answer.Take(0, event);
  const json logprobs = json::parse(answer.Whole())["choices"][0]["logprobs"];
  EXPECT_THAT(logprobs["tokens"], ElementsAre("é", "bytes:\\xf0\\x9f", "b"));
  EXPECT_THAT(logprobs["text_offset"], ElementsAre(0, 1, 2));
  EXPECT_EQ(logprobs["token_logprobs"][0], -9999.0);
  EXPECT_EQ(logprobs["top_logprobs"][2]["c"], -0.5);
}

TEST(CompletionAnswerTest, FinishReasonsAreThoseThatClientsKnow) {
  EXPECT_STREQ(FinishReasonName(v1::FINISH_REASON_STOP_TOKEN), "stop");
  EXPECT_STREQ(FinishReasonName(v1::FINISH_REASON_STOP_STRING), "stop");
  EXPECT_STREQ(FinishReasonName(v1::FINISH_REASON_LENGTH), "length");
  EXPECT_STREQ(FinishReasonName(v1::FINISH_REASON_DEADLINE), "length");
}

TEST(ChatAnswerTest, WholeAnswerIsAMessageOfTheAssistant) {
  ChatAnswer answer({}, 1, "chatcmpl-1", 12);
  for (const auto& event : {Started(), Delta("a"), Delta("b"), Finished(v1::FINISH_REASON_STOP_TOKEN)}) {
    EXPECT_EQ(answer.Take(0, event), "");
  }
  EXPECT_EQ(
      answer.Whole(),
      R"({"id":"chatcmpl-1","object":"chat.completion","created":12,"model":"m","choices":[{"index":0,)"
      R"("message":{"role":"assistant","content":"ab","refusal":null},"logprobs":null,)"
      R"("finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,)"
      R"("total_tokens":5,"prompt_tokens_details":{"cached_tokens":1},)"
      R"("completion_tokens_details":{"accepted_prediction_tokens":2,"rejected_prediction_tokens":3}}})");
}

TEST(ChatAnswerTest, StreamNamesTheRoleOnceAndEndsWithAnEmptyDelta) {
  ChatAnswer answer({.stream = true}, 1, "i", 1);
  std::string lines;
  for (const auto& event : {Started(), Delta("a"), Finished(v1::FINISH_REASON_LENGTH)}) {
    lines += answer.Take(0, event);
  }
  const std::vector<json> events = StreamEvents(lines + answer.StreamEnd());
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0]["object"], "chat.completion.chunk");
  EXPECT_EQ(events[0]["choices"][0]["delta"], json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(events[1]["choices"][0]["delta"], json({{"content", "a"}}));
  EXPECT_TRUE(events[1]["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(events[2]["choices"][0]["delta"], json::object());
  EXPECT_EQ(events[2]["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(events[3].is_null());
}

// A thought, a word and a call.
v1::GenerateResponse Calling(const char* id) {
  v1::GenerateResponse event = Delta("a");
  event.mutable_delta()->set_reasoning("so");
  v1::ToolCall* call = event.mutable_delta()->add_tool_calls();
  call->set_id(id);
  call->set_name("f");
  call->set_arguments("{}");
  return event;
}

TEST(ChatAnswerTest, CallsAndReasoningStandBesideTheContent) {
  ChatAnswer answer({}, 1, "i", 1);
  for (const auto& event : {Started(), Calling("c1"), Finished(v1::FINISH_REASON_STOP_TOKEN)}) {
    answer.Take(0, event);
  }
  const json choice = json::parse(answer.Whole())["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "a");
  EXPECT_EQ(choice["message"]["reasoning_content"], "so");
  EXPECT_EQ(choice["message"]["tool_calls"],
            json::parse(R"([{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}])"));
}

TEST(ChatAnswerTest, StreamedCallsAreNumbered) {
  ChatAnswer answer({.stream = true}, 1, "i", 1);
  std::string lines;
  for (const auto& event :
       {Started(), Calling("c1"), Calling("c2"), Finished(v1::FINISH_REASON_STOP_TOKEN)}) {
    lines += answer.Take(0, event);
  }
  const std::vector<json> events = StreamEvents(lines + answer.StreamEnd());
  ASSERT_EQ(events.size(), 9u);
  EXPECT_EQ(events[1]["choices"][0]["delta"], json({{"reasoning_content", "so"}}));
  EXPECT_EQ(events[2]["choices"][0]["delta"], json({{"content", "a"}}));
  EXPECT_EQ(events[3]["choices"][0]["delta"]["tool_calls"][0]["index"], 0);
  EXPECT_EQ(events[3]["choices"][0]["delta"]["tool_calls"][0]["id"], "c1");
  EXPECT_EQ(events[6]["choices"][0]["delta"]["tool_calls"][0]["index"], 1);
  EXPECT_EQ(events[7]["choices"][0]["finish_reason"], "tool_calls");
}

TEST(ChatAnswerTest, LogprobsHaveTheBytesOfTokens) {
  ChatAnswer answer({}, 1, "i", 1);
  v1::GenerateResponse event;
  v1::TokenLogprobs* entry = event.mutable_delta()->add_logprobs();
  entry->mutable_chosen()->set_text("\xf0\x9f");
  entry->add_top()->set_text("c");
  answer.Take(0, event);
  const json token = json::parse(answer.Whole())["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(token["token"], "bytes:\\xf0\\x9f");
  EXPECT_THAT(token["bytes"], ElementsAre(0xf0, 0x9f));
  EXPECT_EQ(token["top_logprobs"][0]["token"], "c");
}

}  // namespace
}  // namespace hearth
