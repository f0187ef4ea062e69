#include "engine/chat/answer_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

namespace hearth {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

const std::vector<std::string> kTools = {"plus", "now"};
const ToolCall kPlus{"plus", R"({"a":1})"}, kNow{"now", "{}"};

void Append(AnswerPieces& to, AnswerPieces from) {
  to.text += from.text;
  to.reasoning += from.reasoning;
  to.calls.insert(to.calls.end(), from.calls.begin(), from.calls.end());
}

// What the parser makes of a text that comes in pieces of this size.
AnswerPieces ParseIn(size_t size, const std::string& text, const AnswerSyntax& syntax) {
  AnswerParser parser(syntax);
  AnswerPieces all;
  for (size_t at = 0; at < text.size(); at += size) Append(all, parser.Push(text.substr(at, size)));
  Append(all, parser.Finish());
  return all;
}

// Of any cut.
AnswerPieces Parse(const std::string& text, const AnswerSyntax& syntax = {kTools}) {
  const AnswerPieces whole = ParseIn(text.size() + 1, text, syntax);
  for (const size_t size : {1, 2, 3, 5, 7, 11}) {
    const AnswerPieces pieces = ParseIn(size, text, syntax);
    EXPECT_EQ(pieces.text, whole.text) << text << " in " << size;
    EXPECT_EQ(pieces.reasoning, whole.reasoning) << text << " in " << size;
    EXPECT_EQ(pieces.calls, whole.calls) << text << " in " << size;
  }
  return whole;
}

void ExpectText(const std::string& text, const AnswerSyntax& syntax = {kTools}) {
  const AnswerPieces pieces = Parse(text, syntax);
  EXPECT_EQ(pieces.text, text);
  EXPECT_EQ(pieces.reasoning, "");
  EXPECT_THAT(pieces.calls, IsEmpty());
}

TEST(AnswerParserTest, TextStaysAsItIs) {
  for (const char* text :
       {"", " ", "Hello.", " Two\n\nlines \n", "1 < 2, a <tool, [TOOL", "{\"x\": 1}", "[1, 2]", "[",
        "```json\n{}\n```", "<", "a <think> b", "{\"name\": \"other\", \"arguments\": {}}"}) {
    ExpectText(text);
  }
}

TEST(AnswerParserTest, MarksOfMessagesThatTheVocabularyDoesNotHaveAreText) {
  AnswerSyntax syntax;
  syntax.frames.emplace();
  ExpectText("Messages begin with <|start|> and end with <|end|>.", syntax);
  syntax.frames->push_back("<|end|>");
  EXPECT_EQ(Parse("<|start|> says it.<|end|>", syntax).text, "<|start|> says it.");
}

TEST(AnswerParserTest, CallOfHarmonyThatWasCutBeforeItsArgumentsIsNone) {
  EXPECT_THAT(Parse("<|channel|>commentary to=functions.plus<|message|>").calls, IsEmpty());
}

TEST(AnswerParserTest, TextComesAsSoonAsItIsCertain) {
  AnswerParser parser({kTools});
  EXPECT_EQ(parser.Push("Let us").text, "Let us");
  EXPECT_EQ(parser.Push(" see <to").text, " see");
  EXPECT_EQ(parser.Push("ast>").text, " <toast>");
}

TEST(AnswerParserTest, CallsOfEveryFamilyAreTakenOut) {
  for (const char* text :
       {"<tool_call>\n{\"name\": \"plus\", \"arguments\": {\"a\": 1}}\n</tool_call>",
        "[TOOL_CALLS][{\"name\": \"plus\", \"arguments\": {\"a\": 1}}]", "[TOOL_CALLS]plus[ARGS]{\"a\": 1}",
        "<|python_tag|>{\"name\": \"plus\", \"parameters\": {\"a\": 1}}",
        "{\"name\": \"plus\", \"parameters\": {\"a\": 1}}",
        "<|tool_call|>[{\"name\": \"plus\", \"arguments\": {\"a\": 1}}]<|/tool_call|>",
        "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"plus\", \"parameters\": {\"a\": "
        "1}}]<|END_ACTION|>",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>plus\n```json\n{\"a\": "
        "1}\n```<｜tool▁call▁end｜>"
        "<｜tool▁calls▁end｜>",
        "<|channel|>commentary to=functions.plus <|constrain|>json<|message|>{\"a\": 1}<|call|>",
        "<|start|>assistant to=functions.plus<|channel|>commentary json<|message|>{\"a\": 1}",
        "```json\n{\"name\": \"plus\", \"arguments\": {\"a\": 1}}\n```"}) {
    const AnswerPieces pieces = Parse(text);
    EXPECT_THAT(pieces.calls, ElementsAre(kPlus)) << text;
    EXPECT_EQ(pieces.text, "") << text;
  }
}

TEST(AnswerParserTest, SeveralCallsComeInTheirOrder) {
  const std::string plus = "<tool_call>\n{\"name\": \"plus\", \"arguments\": {\"a\": 1}}\n</tool_call>";
  const AnswerPieces pieces =
      Parse("I add.\n" + plus + "\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n");
  EXPECT_EQ(pieces.text, "I add.");
  EXPECT_THAT(pieces.calls, ElementsAre(kPlus, kNow));
}

TEST(AnswerParserTest, CallComesWhenItsMarkEndsIt) {
  AnswerParser parser({kTools});
  EXPECT_TRUE(parser.Push("<tool_call>{\"name\": \"now\"}</tool_cal").empty());
  EXPECT_THAT(parser.Push("l>").calls, ElementsAre(kNow));
}

TEST(AnswerParserTest, MarkWithinAnArgumentDoesNotEndTheCall) {
  const AnswerPieces pieces =
      Parse(R"(<tool_call>{"name": "plus", "arguments": {"a": "x \" </tool_call> y"}}</tool_call> done)");
  EXPECT_THAT(pieces.calls, ElementsAre(ToolCall{"plus", R"({"a":"x \" </tool_call> y"})"}));
  EXPECT_EQ(pieces.text, "done");
}

TEST(AnswerParserTest, CallWhoseJsonNeverEndsIsTextUpToItsMarkAndTheNextOneIsStillTaken) {
  const AnswerPieces pieces = Parse(
      R"(<tool_call>{"name": "plus</tool_call><tool_call>{"name": "now", "arguments": {}}</tool_call>)");
  EXPECT_EQ(pieces.text, R"(<tool_call>{"name": "plus</tool_call>)");
  EXPECT_THAT(pieces.calls, ElementsAre(kNow));
}

TEST(AnswerParserTest, WhatLooksLikeACallAndIsNoneStaysText) {
  for (const char* text :
       {"<tool_call>\nplus(1)\n</tool_call>", "<tool_call>{\"name\": \"plus\"", "[TOOL_CALLS] none",
        "<|python_tag|>print(1)", "See <tool_call></tool_call> there"}) {
    ExpectText(text);
  }
}

TEST(AnswerParserTest, WithoutToolsThereAreNoCalls) {
  for (const char* text : {"<tool_call>\n{\"name\": \"plus\", \"arguments\": {}}\n</tool_call>",
                           "{\"name\": \"plus\", \"arguments\": {}}"}) {
    ExpectText(text, {});
  }
}

TEST(AnswerParserTest, ReasoningIsTakenOut) {
  for (const char* text :
       {"<think>\nIt is\n\nso.\n</think>\n\nYes.", "[THINK]It is\n\nso.[/THINK]Yes.",
        "<|START_THINKING|>It is\n\nso.<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>",
        "<|channel|>analysis<|message|>It is\n\nso.<|end|><|start|>assistant<|channel|>final<|message|>"
        "Yes."}) {
    for (const AnswerSyntax& syntax : {AnswerSyntax{}, AnswerSyntax{kTools}}) {
      const AnswerPieces pieces = Parse(text, syntax);
      EXPECT_EQ(pieces.reasoning, "It is\n\nso.") << text;
      EXPECT_EQ(pieces.text, "Yes.") << text;
    }
  }
}

TEST(AnswerParserTest, ReasoningMayHaveBegunInThePrompt) {
  const AnswerPieces pieces = Parse("\nSo.\n</think>\n\nYes.", {{}, true});
  EXPECT_EQ(pieces.reasoning, "So.");
  EXPECT_EQ(pieces.text, "Yes.");
  EXPECT_EQ(Parse("cut off", {{}, true}).reasoning, "cut off");
}

TEST(AnswerParserTest, CallsMayFollowReasoning) {
  for (const char* text : {"<think>So.</think>\n<tool_call>{\"name\": \"now\"}</tool_call>",
                           "<think>So.</think>\n\n{\"name\": \"now\", \"arguments\": {}}",
                           "<|channel|>analysis<|message|>So.<|end|><|start|>assistant<|channel|>commentary "
                           "to=functions.now <|constrain|>json<|message|>{}"}) {
    const AnswerPieces pieces = Parse(text);
    EXPECT_EQ(pieces.reasoning, "So.") << text;
    EXPECT_THAT(pieces.calls, ElementsAre(kNow)) << text;
    EXPECT_EQ(pieces.text, "") << text;
  }
}

TEST(AnswerParserTest, MarkersAreThoseOfCallsOnlyWithTools) {
  EXPECT_THAT(AnswerParser::Markers(true), Contains("[TOOL_CALLS]"));
  EXPECT_THAT(AnswerParser::Markers(true), Contains("<｜tool▁sep｜>"));
  EXPECT_THAT(AnswerParser::Markers(false), Not(Contains("[TOOL_CALLS]")));
  EXPECT_THAT(AnswerParser::Markers(false), Contains("</think>"));
}

}  // namespace
}  // namespace hearth
