#include "daemon/openai/response_request.h"

#include <string>

#include "daemon/http/json_input.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using testing::HasSubstr;

// The text and tools of a body keep their order.
absl::StatusOr<ResponseRequest> ParseResponse(const std::string& body) {
  const ordered_json in_order = ordered_json::parse(body);
  return ReadResponseRequest(json::parse(body), in_order.value("text", ordered_json()),
                             in_order.value("tools", ordered_json()));
}

ResponseRequest ReadResponse(const std::string& body) {
  const absl::StatusOr<ResponseRequest> request = ParseResponse(body);
  EXPECT_TRUE(request.ok()) << request.status();
  return request.value_or(ResponseRequest());
}

void ExpectResponseRefused(json fields, const std::string& param, const std::string& words) {
  if (!fields.contains("input")) fields["input"] = "x";
  const absl::Status status = ParseResponse(fields.dump()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << fields;
  EXPECT_EQ(ParamOf(status), param) << status;
  EXPECT_THAT(status.message(), HasSubstr(words));
}

TEST(ResponseRequestTest, TextIsWhatTheUserSays) {
  const ResponseRequest request =
      ReadResponse(R"({"input": "hello", "instructions": "be brief", "model": "m"})");
  ASSERT_EQ(request.chat.messages_size(), 2);
  EXPECT_EQ(request.chat.messages(0).role(), "system");
  EXPECT_EQ(request.chat.messages(0).content(), "be brief");
  EXPECT_EQ(request.chat.messages(1).role(), "user");
  EXPECT_EQ(request.chat.messages(1).content(), "hello");
  EXPECT_EQ(request.chat.model(), "m");
  EXPECT_TRUE(request.chat.parsed());
  EXPECT_FALSE(request.stream);
}

TEST(ResponseRequestTest, ItemsBecomeTheConversation) {
  const v1::ChatRequest chat = ReadResponse(R"({"input": [
      {"role": "developer", "content": "be brief"},
      {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"},
                                                      {"type": "input_text", "text": "b"}]},
      {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
      {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
       "content": [{"type": "output_text", "text": "wait", "annotations": []}]},
      {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"x\":1}"},
      {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
      {"type": "function_call_output", "call_id": "c1", "output": "2"},
      {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "3"}]}]})")
                                   .chat;
  ASSERT_EQ(chat.messages_size(), 5);
  EXPECT_EQ(chat.messages(0).role(), "system");
  EXPECT_EQ(chat.messages(1).parts(1).text(), "b");
  EXPECT_EQ(chat.messages(2).role(), "assistant");
  EXPECT_EQ(chat.messages(2).reasoning(), "hm");
  EXPECT_EQ(chat.messages(2).parts(0).text(), "wait");
  ASSERT_EQ(chat.messages(2).tool_calls_size(), 2);
  EXPECT_EQ(chat.messages(2).tool_calls(0).id(), "c1");
  EXPECT_EQ(chat.messages(2).tool_calls(0).arguments(), "{\"x\":1}");
  EXPECT_EQ(chat.messages(3).role(), "tool");
  EXPECT_EQ(chat.messages(3).tool_call_id(), "c1");
  EXPECT_EQ(chat.messages(3).name(), "f");
  EXPECT_EQ(chat.messages(4).content(), "3");
}

TEST(ResponseRequestTest, CallAfterAToolsAnswerIsANewTurn) {
  const v1::ChatRequest chat = ReadResponse(R"({"input": [
      {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
      {"type": "function_call_output", "call_id": "c1", "output": "2"},
      {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
      {"type": "function_call_output", "call_id": "c2", "output": "3"}]})")
                                   .chat;
  ASSERT_EQ(chat.messages_size(), 4);
  EXPECT_EQ(chat.messages(2).tool_calls(0).id(), "c2");
}

TEST(ResponseRequestTest, OptionsArrive) {
  const ResponseRequest request = ReadResponse(R"({"input": "x", "stream": true, "max_output_tokens": 7,
      "temperature": 0.5, "top_p": 0.9, "reasoning": {"effort": "low"}, "store": false, "truncation": "disabled",
      "include": ["reasoning.encrypted_content"], "metadata": {"a": "b"}})");
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.chat.max_tokens(), 7u);
  EXPECT_EQ(request.chat.sampling().temperature(), 0.5f);
  EXPECT_EQ(request.chat.sampling().top_p(), 0.9f);
  EXPECT_EQ(json::parse(request.chat.variables()), json({{"reasoning_effort", "low"}}));
  EXPECT_EQ(request.settings["max_output_tokens"], 7);
  EXPECT_EQ(request.settings["metadata"]["a"], "b");
  EXPECT_EQ(request.settings["tool_choice"], "auto");
  EXPECT_EQ(request.settings["store"], false);
}

TEST(ResponseRequestTest, FunctionsAreThoseOfChats) {
  const v1::ChatRequest chat =
      ReadResponse(R"({"input": "x", "tool_choice": {"type": "function", "name": "f"},
      "tools": [{"type": "function", "name": "f", "parameters": {"z": 1, "a": 2}, "strict": true}]})")
          .chat;
  EXPECT_EQ(chat.tools(),
            R"([{"type":"function","function":{"name":"f","parameters":{"z":1,"a":2},"strict":true}}])");
  EXPECT_EQ(chat.required_tool(), "f");
  EXPECT_EQ(ReadResponse(R"({"input": "x", "tool_choice": "required"})").chat.required_tool(), "*");
  EXPECT_EQ(
      ReadResponse(R"({"input": "x", "tool_choice": "none", "tools": [{"type": "function", "name": "f"}]})")
          .chat.tools(),
      "");
}

TEST(ResponseRequestTest, FormatMakesTheTextJson) {
  EXPECT_EQ(
      ReadResponse(R"({"input": "x", "text": {"format": {"type": "json_schema", "name": "n", "strict": true,
                     "schema": {"properties": {"z": {}, "a": {}}}}}})")
          .chat.json_schema(),
      R"({"properties":{"z":{},"a":{}}})");
  EXPECT_EQ(ReadResponse(R"({"input": "x", "text": {"format": {"type": "json_object"}}})").chat.json_schema(),
            R"({"type": "object"})");
  EXPECT_FALSE(
      ReadResponse(R"({"input": "x", "text": {"format": {"type": "text"}}})").chat.has_json_schema());
  EXPECT_FALSE(ReadResponse(R"({"input": "x", "text": {"verbosity": "low"}})").chat.has_json_schema());
}

TEST(ResponseRequestTest, WhatIsNotThereIsRefused) {
  ExpectResponseRefused({{"previous_response_id", "resp_1"}}, "previous_response_id",
                        "send the whole conversation");
  ExpectResponseRefused({{"conversation", "conv_1"}}, "conversation", "send the whole conversation");
  ExpectResponseRefused({{"store", true}}, "store", "not stored");
  ExpectResponseRefused({{"background", true}}, "background", "use a stream");
  ExpectResponseRefused({{"prompt", {{"id", "p"}}}}, "prompt", "not stored");
  ExpectResponseRefused({{"truncation", "auto"}}, "truncation", "never cut");
  ExpectResponseRefused({{"top_logprobs", 2}}, "top_logprobs", "chat completions");
  ExpectResponseRefused({{"include", {"message.output_text.logprobs"}}}, "include", "logprobs");
  ExpectResponseRefused({{"tools", json::parse(R"([{"type": "web_search"}])")}}, "tools", "web_search");
  ExpectResponseRefused({{"tool_choice", {{"type", "file_search"}}}}, "tool_choice", "must be auto");
}

TEST(ResponseRequestTest, WrongInputIsNamed) {
  EXPECT_EQ(ParamOf(ReadResponseRequest(json::object()).status()), "input");
  ExpectResponseRefused({{"input", 3}}, "input", "not the number 3");
  ExpectResponseRefused({{"input", json::array()}}, "input", "an empty list");
  ExpectResponseRefused({{"input", {"x"}}}, "input[0]", "must be an object");
  ExpectResponseRefused({{"input", json::parse(R"([{"role": "user"}])")}}, "input[0]", "content is missing");
  ExpectResponseRefused({{"input", json::parse(R"([{"content": "x"}])")}}, "input[0]", "role is missing");
  ExpectResponseRefused(
      {{"input", json::parse(R"([{"role": "user", "content": [{"type": "input_image"}]}])")}}, "input[0]",
      "no text");
  ExpectResponseRefused(
      {{"input", json::parse(R"([{"role": "user", "content": "x"}, {"type": "item_reference"}])")}},
      "input[1]", "send the item itself");
  ExpectResponseRefused({{"input", json::parse(R"([{"type": "computer_call"}])")}}, "input[0]",
                        "computer_call");
  ExpectResponseRefused({{"input", json::parse(R"([{"type": "function_call", "call_id": "c"}])")}},
                        "input[0]", "name is missing");
  ExpectResponseRefused({{"max_output_tokens", 0}}, "max_output_tokens", "is 0");
  ExpectResponseRefused({{"text", {{"format", {{"type", "xml"}}}}}}, "text.format", "json_schema");
  ExpectResponseRefused({{"text", {{"format", {{"type", "json_schema"}}}}}}, "text.format", "needs a schema");
}

}  // namespace
}  // namespace hearth
