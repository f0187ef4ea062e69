#include "engine/chat/chat_templates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/engine/token/vocabulary_fixture.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::ordered_json;

constexpr char kKey[] = "tokenizer.chat_template";

GgufMetadata Metadata() { return SpmMetadata({{"<|x|>", kControl}}); }

ChatTemplates TemplatesOf(const GgufMetadata& metadata) {
  return ChatTemplates::FromMetadata(metadata, *MakeTokenizer(metadata));
}

ChatTemplates TemplatesOf(std::string source) {
  GgufMetadata metadata = Metadata();
  metadata.Set(kKey, std::move(source));
  return TemplatesOf(metadata);
}

Conversation Saying(const std::string& text) {
  Conversation conversation;
  conversation.messages = {{{"role", "user"}, {"content", text}}};
  return conversation;
}

// The text, or the error.
std::string TextOf(const ChatTemplates& chat, const Conversation& conversation) {
  const auto rendered = chat.Render(conversation, absl::FromUnixSeconds(1735787045), absl::UTCTimeZone());
  return rendered.ok() ? rendered->text : std::string(rendered.status().message());
}

absl::StatusCode CodeOf(const ChatTemplates& chat, const Conversation& conversation) {
  return chat.Render(conversation, absl::UnixEpoch(), absl::UTCTimeZone()).status().code();
}

TEST(ChatTemplatesTest, RendersMessagesWithTheVocabularysSpecialTokens) {
  const ChatTemplates chat = TemplatesOf(
      "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}");
  EXPECT_EQ(TextOf(chat, Saying("hi")), "<s>user:hi</s>");
}

TEST(ChatTemplatesTest, VariablesReachTheTemplate) {
  const ChatTemplates chat =
      TemplatesOf("{{ enable_thinking }}{{ add_generation_prompt }}{{ strftime_now('%Y') }}");
  Conversation conversation = Saying("hi");
  conversation.variables = {{"enable_thinking", false}, {"add_generation_prompt", "forged"}};
  EXPECT_EQ(TextOf(chat, conversation), "FalseTrue2025");
  conversation.add_generation_prompt = false;
  EXPECT_EQ(TextOf(chat, conversation), "FalseFalse2025");
}

TEST(ChatTemplatesTest, ToolsThatAreNotThereAreNone) {
  const ChatTemplates chat =
      TemplatesOf("{{ tools }} {{ documents is none }} {{ enable_thinking is defined }}");
  EXPECT_EQ(TextOf(chat, Saying("hi")), "None True False");
}

TEST(ChatTemplatesTest, ToolsChooseTheTemplateForThem) {
  GgufMetadata metadata = Metadata();
  metadata.Set("tokenizer.chat_template.tool_use", std::string("tools: {{ tools | length }}"));
  metadata.Set("tokenizer.chat_template.rag", std::string("rag"));
  metadata.Set(kKey, std::string("plain"));
  const ChatTemplates chat = TemplatesOf(metadata);
  EXPECT_THAT(chat.names(), ElementsAre("default", "tool_use", "rag"));
  Conversation conversation = Saying("hi");
  EXPECT_EQ(TextOf(chat, conversation), "plain");
  conversation.tools = Json::array({{{"type", "function"}}});
  EXPECT_EQ(TextOf(chat, conversation), "tools: 1");
  conversation.template_name = "rag";
  EXPECT_EQ(TextOf(chat, conversation), "rag");
}

TEST(ChatTemplatesTest, AListOfTemplatesTakesItsNamesFromTheOtherList) {
  GgufMetadata metadata = Metadata();
  metadata.Set(kKey, std::vector<std::string>{"t", "d"});
  metadata.Set("tokenizer.chat_templates", std::vector<std::string>{"tool_use", "default"});
  EXPECT_THAT(TemplatesOf(metadata).names(), ElementsAre("default", "tool_use"));
  EXPECT_EQ(TextOf(TemplatesOf(metadata), Saying("hi")), "d");
}

TEST(ChatTemplatesTest, AnUnknownNameListsThoseThereAre) {
  Conversation conversation = Saying("hi");
  conversation.template_name = "tool\nuse";
  const ChatTemplates chat = TemplatesOf("x");
  EXPECT_EQ(CodeOf(chat, conversation), absl::StatusCode::kNotFound);
  EXPECT_EQ(TextOf(chat, conversation),
            "the model has no chat template called 'tool\\nuse'; it has: default");
}

TEST(ChatTemplatesTest, AModelWithoutTemplateSaysWhatToDo) {
  const ChatTemplates chat = TemplatesOf(Metadata());
  EXPECT_THAT(chat.names(), IsEmpty());
  EXPECT_EQ(CodeOf(chat, Saying("hi")), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(TextOf(chat, Saying("hi")), HasSubstr("use Generation.Generate or `hearth generate`"));
}

TEST(ChatTemplatesTest, ABrokenTemplateIsNamedWhenItIsUsed) {
  GgufMetadata metadata = Metadata();
  metadata.Set(kKey, std::string("{% if %}"));
  metadata.Set("tokenizer.chat_template.other", std::string("fine"));
  const ChatTemplates chat = TemplatesOf(metadata);
  EXPECT_EQ(CodeOf(chat, Saying("hi")), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TextOf(chat, Saying("hi")),
            "the model's chat template 'default' cannot be read: line 1, column 7: "
            "expected an expression, found '%}'");
  Conversation conversation = Saying("hi");
  conversation.template_name = "other";
  EXPECT_EQ(TextOf(chat, conversation), "fine");
}

TEST(ChatTemplatesTest, WhatATemplateRefusesIsInvalid) {
  const ChatTemplates chat = TemplatesOf("{{ raise_exception('no system role') }}");
  EXPECT_EQ(CodeOf(chat, Saying("hi")), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TextOf(chat, Saying("hi")),
            "the model's chat template 'default' cannot be applied to these messages: "
            "line 1, column 19: the template says: no system role");
}

TEST(ChatTemplatesTest, ATemplateThatTakesTooLongIsInvalidToo) {
  const ChatTemplates chat = TemplatesOf("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}");
  EXPECT_EQ(CodeOf(chat, Saying("hi")), absl::StatusCode::kInvalidArgument);
}

TEST(ChatTemplatesTest, KnowsWhetherContentsMayBeParts) {
  const char kParts[] =
      "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
      "{{ p.text }}{% endfor %}{% endif %}{% endfor %}";
  EXPECT_TRUE(TemplatesOf(kParts).TakesParts(Saying("hi")));
  EXPECT_FALSE(TemplatesOf("{{ messages[0].content }}").TakesParts(Saying("hi")));
  EXPECT_FALSE(TemplatesOf("{{ '' + messages[0].content }}").TakesParts(Saying("hi")));
  EXPECT_FALSE(TemplatesOf("{% if %}").TakesParts(Saying("hi")));
}

TEST(ChatTemplatesTest, MetadataOfAnotherKindIsNoTemplate) {
  GgufMetadata metadata = Metadata();
  metadata.Set(kKey, uint64_t{7});
  EXPECT_THAT(TemplatesOf(metadata).names(), IsEmpty());
}

}  // namespace
}  // namespace hearth
