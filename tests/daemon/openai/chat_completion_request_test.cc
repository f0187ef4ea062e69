#include "daemon/openai/chat_completion_request.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const json kHello = json::parse(R"([{"role":"user","content":"hello"}])");

v1::ChatRequest ReadChat(const std::string& text) {
  auto request = ReadChatCompletionRequest(json::parse(text));
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? request->choices.at(0) : v1::ChatRequest();
}

absl::Status ChatRefusal(json fields) {
  if (!fields.contains("messages")) fields["messages"] = kHello;
  return ReadChatCompletionRequest(fields).status();
}

TEST(ChatCompletionRequestTest, MessagesArrive) {
  const v1::ChatRequest chat = ReadChat(R"({"messages":[
      {"role":"developer","content":"be brief"},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"ann"},
      {"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[
          {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},
      {"role":"tool","content":"2","tool_call_id":"c1"}]})");
  ASSERT_EQ(chat.messages_size(), 4);
  EXPECT_EQ(chat.messages(0).role(), "system");
  EXPECT_EQ(chat.messages(0).content(), "be brief");
  EXPECT_EQ(chat.messages(1).parts(1).text(), "b");
  EXPECT_EQ(chat.messages(1).name(), "ann");
  EXPECT_FALSE(chat.messages(2).has_content());
  EXPECT_EQ(chat.messages(2).reasoning(), "hm");
  EXPECT_EQ(chat.messages(2).tool_calls(0).name(), "f");
  EXPECT_EQ(chat.messages(2).tool_calls(0).arguments(), "{\"x\":1}");
  EXPECT_EQ(chat.messages(3).tool_call_id(), "c1");
}

TEST(ChatCompletionRequestTest, OptionsArrive) {
  const v1::ChatRequest chat =
      ReadChat(R"({"messages":[{"role":"user","content":"x"}],"model":"m","max_tokens":3,
      "max_completion_tokens":4,"temperature":0.5,"stop":"end","logprobs":true,"top_logprobs":2,"n":1,
      "tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto","response_format":{"type":"text"},
      "chat_template_kwargs":{"enable_thinking":false},"reasoning_effort":"low","store":true})");
  EXPECT_EQ(chat.model(), "m");
  EXPECT_EQ(chat.max_tokens(), 4u);
  EXPECT_EQ(chat.sampling().temperature(), 0.5f);
  EXPECT_EQ(chat.stop(0), "end");
  EXPECT_EQ(chat.logprobs(), 2u);
  EXPECT_EQ(chat.tools(), R"([{"function":{"name":"f"},"type":"function"}])");
  EXPECT_EQ(json::parse(chat.variables()), json({{"enable_thinking", false}, {"reasoning_effort", "low"}}));
}

std::string SchemaOf(const char* format) {
  const auto request =
      ReadChatCompletionRequest({{"messages", kHello}}, nlohmann::ordered_json::parse(format));
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? request->choices.at(0).json_schema() : "";
}

TEST(ChatCompletionRequestTest, ResponseFormatsBecomeSchemas) {
  EXPECT_EQ(SchemaOf("null"), "");
  EXPECT_EQ(SchemaOf(R"({"type":"text"})"), "");
  EXPECT_EQ(SchemaOf(R"({"type":"json_object"})"), R"({"type": "object"})");
  EXPECT_EQ(SchemaOf(R"({"type":"json_schema","json_schema":{"name":"n","strict":true,
                         "schema":{"properties":{"z":{},"a":{}}}}})"),
            R"({"properties":{"z":{},"a":{}}})");
}

TEST(ChatCompletionRequestTest, ResponseFormatsThatAreNoneAreRefused) {
  for (const char* format : {R"({"type":"xml"})", "{}", "3", R"("json_object ")", R"({"type":"json_schema"})",
                             R"({"type":"json_schema","json_schema":{"name":"n"}})",
                             R"({"type":"json_schema","json_schema":[]})"}) {
    const auto request =
        ReadChatCompletionRequest({{"messages", kHello}}, nlohmann::ordered_json::parse(format));
    EXPECT_EQ(ParamOf(request.status()), "response_format") << format;
  }
}

TEST(ChatCompletionRequestTest, WithoutMaxTokensTheContextIsTheEnd) {
  EXPECT_FALSE(ReadChat(R"({"messages":[{"role":"user","content":"x"}]})").has_max_tokens());
}

TEST(ChatCompletionRequestTest, ToolsThatMayNotBeCalledAreNotShown) {
  EXPECT_EQ(
      ReadChat(R"({"messages":[{"role":"user","content":"x"}],"tools":[{}],"tool_choice":"none"})").tools(),
      "");
}

TEST(ChatCompletionRequestTest, ToolsCanBeRequired) {
  const std::string chat = R"({"messages":[{"role":"user","content":"x"}],"tools":[{}],"tool_choice":)";
  EXPECT_EQ(ReadChat(chat + R"("required"})").required_tool(), "*");
  EXPECT_EQ(ReadChat(chat + R"({"type":"function","function":{"name":"f"}}})").required_tool(), "f");
  EXPECT_EQ(ReadChat(chat + R"("auto"})").required_tool(), "");
  EXPECT_TRUE(ReadChat(chat + R"("auto"})").parsed());
}

TEST(ChatCompletionRequestTest, EachChoiceHasASeedOfItsOwn) {
  const auto request = ReadChatCompletionRequest({{"messages", kHello}, {"n", 2}, {"seed", 5}});
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->choices[1].sampling().seed(), 6u);
}

TEST(ChatCompletionRequestTest, MessagesThatAreWrongAreNamed) {
  for (const char* messages : {"[]", "null", "7", "{}"}) {
    EXPECT_EQ(ParamOf(ChatRefusal({{"messages", json::parse(messages)}})), "messages") << messages;
  }
  for (const char* message : {"7", R"({"role":1})", R"({"content":7})", R"({"content":[7]})",
                              R"({"content":[{"type":"image_url"}]})", R"({"tool_calls":1})",
                              R"({"tool_calls":[1]})", R"({"tool_calls":[{}]})", R"({"name":[]})"}) {
    const json messages = {kHello[0], json::parse(message)};
    EXPECT_EQ(ParamOf(ChatRefusal({{"messages", messages}})), "messages[1]") << message;
  }
}

TEST(ChatCompletionRequestTest, WhatHearthDoesNotHaveIsRefusedInWords) {
  const json missing = {{"tool_choice", {{"type", "function"}}},
                        {"functions", json::array()},
                        {"function_call", "auto"},
                        {"audio", json::object()},
                        {"n", 1000},
                        {"top_logprobs", 3}};
  for (const auto& [name, value] : missing.items()) {
    EXPECT_EQ(ParamOf(ChatRefusal({{name, value}})), name) << ChatRefusal({{name, value}});
  }
}

}  // namespace
}  // namespace hearth
