#include "daemon/requests/chat_request.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/serving/fakes.h"

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

v1::ChatRequest Request() {
  v1::ChatRequest request;
  v1::ChatMessage* const message = request.add_messages();
  message->set_role("user");
  message->set_content("hi");
  return request;
}

// The messages as templates get them, or the error.
std::string MessagesOf(const v1::ChatRequest& request) {
  const auto conversation = ToConversation(request);
  return conversation.ok() ? conversation->messages.dump() : std::string(conversation.status().message());
}

TEST(ChatRequestTest, MessagesBecomeWhatTemplatesKnow) {
  EXPECT_EQ(MessagesOf(Request()), R"([{"role":"user","content":"hi"}])");
}

TEST(ChatRequestTest, ToolCallsAndResultsKeepTheirNames) {
  v1::ChatRequest request = Request();
  v1::ChatMessage* const caller = request.add_messages();
  caller->set_role("assistant");
  caller->set_reasoning("so");
  v1::ToolCall* const call = caller->add_tool_calls();
  call->set_id("c1");
  call->set_name("f");
  call->set_arguments(R"({"b": 1, "a": 1.0})");
  v1::ChatMessage* const answer = request.add_messages();
  answer->set_role("tool");
  answer->set_content("42");
  answer->set_tool_call_id("c1");
  answer->set_name("f");
  EXPECT_EQ(MessagesOf(request),
            R"([{"role":"user","content":"hi"},)"
            R"({"role":"assistant","content":null,"reasoning_content":"so","tool_calls":[)"
            R"({"id":"c1","type":"function","function":{"name":"f","arguments":{"b":1,"a":1.0}}}]},)"
            R"({"role":"tool","content":"42","name":"f","tool_call_id":"c1"}])");
}

TEST(ChatRequestTest, PartsAreJoinedForTemplatesThatKnowTextsOnly) {
  v1::ChatRequest request = Request();
  request.mutable_messages(0)->clear_content();
  request.mutable_messages(0)->add_parts()->set_text("one ");
  request.mutable_messages(0)->add_parts()->set_text("two");
  EXPECT_EQ(MessagesOf(request),
            R"([{"role":"user","content":[{"type":"text","text":"one "},{"type":"text","text":"two"}]}])");
  GgufMetadata metadata;
  metadata.Set("tokenizer.chat_template", std::string("{{ '' + messages[0].content }}"));
  const ByteTokenizer tokenizer;
  const auto prompt =
      ToChatPrompt(request, ChatTemplates::FromMetadata(metadata, tokenizer), tokenizer, absl::UnixEpoch());
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_EQ(prompt->request.tokens().ids_size(), 7);
  EXPECT_FALSE(prompt->syntax.has_value());
}

TEST(ChatRequestTest, AnswersThatAreTakenApartMayBeginInReasoning) {
  v1::ChatRequest request = Request();
  request.set_parsed(true);
  request.set_tools(R"([{"type": "function", "function": {"name": "f"}}])");
  GgufMetadata metadata;
  metadata.Set("tokenizer.chat_template", std::string("{{ messages[0].content }}<think>\n"));
  const ByteTokenizer tokenizer;
  const ChatTemplates chat = ChatTemplates::FromMetadata(metadata, tokenizer);
  const auto prompt = ToChatPrompt(request, chat, tokenizer, absl::UnixEpoch());
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_TRUE(prompt->syntax->begins_in_reasoning);
  EXPECT_EQ(prompt->syntax->tools, std::vector<std::string>{"f"});
  request.set_required_tool("f");
  EXPECT_FALSE(ToChatPrompt(request, chat, tokenizer, absl::UnixEpoch())->syntax->begins_in_reasoning);
}

struct BadField {
  const char* name;
  std::function<void(v1::ChatRequest&)> change;
  const char* message;
};

class BadChatRequestTest : public testing::TestWithParam<BadField> {};

TEST_P(BadChatRequestTest, NamesTheField) {
  v1::ChatRequest request = Request();
  GetParam().change(request);
  EXPECT_EQ(ToConversation(request).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessagesOf(request), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadChatRequestTest,
    testing::Values(
        BadField{"no_messages", [](auto& r) { r.clear_messages(); },
                 "messages is empty; it needs at least one message"},
        BadField{"no_role", [](auto& r) { r.mutable_messages(0)->clear_role(); },
                 "messages[0].role is empty; it is for example \"user\""},
        BadField{"no_content", [](auto& r) { r.add_messages()->set_role("user"); },
                 "messages[1] has no `content`"},
        BadField{"two_contents", [](auto& r) { r.mutable_messages(0)->add_parts(); },
                 "messages[0] has both `content` and `parts`; set one of them"},
        BadField{"call_without_name", [](auto& r) { r.mutable_messages(0)->add_tool_calls(); },
                 "messages[0].tool_calls[0].name is empty; it names the function that was called"},
        BadField{"arguments_no_json",
                 [](auto& r) {
                   v1::ToolCall* const call = r.mutable_messages(0)->add_tool_calls();
                   call->set_name("f");
                   call->set_arguments("{x");
                 },
                 "messages[0].tool_calls[0].arguments is not JSON in UTF-8"},
        BadField{"arguments_no_object",
                 [](auto& r) {
                   v1::ToolCall* const call = r.mutable_messages(0)->add_tool_calls();
                   call->set_name("f");
                   call->set_arguments("[]");
                 },
                 "messages[0].tool_calls[0].arguments is no JSON object"},
        BadField{"tools_no_json", [](auto& r) { r.set_tools("{"); }, "tools is not JSON in UTF-8"},
        BadField{"tools_no_array", [](auto& r) { r.set_tools("{}"); }, "tools is no JSON array"},
        BadField{"tools_no_objects", [](auto& r) { r.set_tools("[1]"); }, "tools must hold objects"},
        BadField{"variables_no_object", [](auto& r) { r.set_variables("1"); }, "variables is no JSON object"},
        BadField{"variables_reserved", [](auto& r) { r.set_variables("{\"messages\": []}"); },
                 "variables must not set 'messages'"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace hearth
