#include "client/command/chat_history.h"

#include <gtest/gtest.h>

#include <string>

namespace hearth {
namespace {

// "role: content" of every message that would be sent.
std::string Sent(const ChatHistory& history) {
  v1::ChatRequest request;
  request.add_messages()->set_role("of the last turn");
  history.CopyTo(&request);
  std::string text;
  for (const v1::ChatMessage& message : request.messages())
    text += message.role() + ": " + message.content() + "\n";
  return text;
}

TEST(ChatHistoryTest, SendsAllTurnsWithTheSystemMessageInFront) {
  ChatHistory history;
  history.Add("user", "a");
  history.Add("assistant", "b");
  history.SetSystem("be kind");
  EXPECT_EQ(Sent(history), "system: be kind\nuser: a\nassistant: b\n");
  history.SetSystem("");
  EXPECT_EQ(Sent(history), "user: a\nassistant: b\n");
}

TEST(ChatHistoryTest, BeginsAnewWithItsSystemMessage) {
  ChatHistory history;
  history.SetSystem("s");
  history.Add("user", "a");
  history.Reset();
  EXPECT_EQ(history.size(), 0u);
  EXPECT_EQ(Sent(history), "system: s\n");
}

TEST(ChatHistoryTest, ForgetsATurnThatWasNotAnswered) {
  ChatHistory history;
  history.Add("user", "a");
  history.Add("assistant", "b");
  history.Add("user", "c");
  history.Truncate(2);
  EXPECT_EQ(Sent(history), "user: a\nassistant: b\n");
}

TEST(ChatHistoryTest, IsSavedAsJson) {
  ChatHistory history;
  EXPECT_EQ(history.ToJsonText(), "[]\n");
  history.SetSystem("s");
  history.Add("user", "\"é\"\n");
  EXPECT_EQ(
      history.ToJsonText(),
      "[{\"role\":\"system\",\"content\":\"s\"},\n {\"role\":\"user\",\"content\":\"\\\"é\\\"\\n\"}]\n");
}

TEST(ChatLineTest, TellsCommandsFromWords) {
  EXPECT_EQ(ParseChatLine("hello /reset").kind, ChatLine::Kind::kText);
  EXPECT_EQ(ParseChatLine("hello /reset").argument, "hello /reset");
  EXPECT_EQ(ParseChatLine("/reset").kind, ChatLine::Kind::kReset);
  EXPECT_EQ(ParseChatLine("/help").kind, ChatLine::Kind::kHelp);
  EXPECT_EQ(ParseChatLine("/save  a b.json ").argument, "a b.json");
  EXPECT_EQ(ParseChatLine("/system Be  kind.").argument, "Be  kind.");
  EXPECT_EQ(ParseChatLine("/system").argument, "");
}

TEST(ChatLineTest, NamesUnknownCommands) {
  EXPECT_EQ(ParseChatLine("/sytsem x").kind, ChatLine::Kind::kUnknown);
  EXPECT_EQ(ParseChatLine("/sytsem x").argument, "/sytsem");
  EXPECT_EQ(ParseChatLine("/").kind, ChatLine::Kind::kUnknown);
}

}  // namespace
}  // namespace hearth
