#include "daemon/scheduling/text_stream.h"

#include <random>

#include "gtest/gtest.h"

namespace hearth {
namespace {

// The output for a text that comes in pieces of `piece` bytes, and the stop string that was met.
struct Result {
  std::string text;
  std::string stop;
  bool operator==(const Result&) const = default;
};

Result Feed(const std::vector<std::string>& stops, const std::string& text, size_t piece) {
  StopMatcher matcher(stops);
  Result result;
  for (size_t i = 0; i < text.size(); i += piece) result.text += matcher.Push(text.substr(i, piece));
  result.text += matcher.Flush();
  if (matcher.matched() != nullptr) result.stop = *matcher.matched();
  return result;
}

TEST(StopMatcherTest, TextWithoutStopStringsPassesAtOnce) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.Push("abc"), "abc");
  EXPECT_EQ(matcher.matched(), nullptr);
}

TEST(StopMatcherTest, HoldsBackOnlyWhatMayBeginAStopString) {
  StopMatcher matcher({"STOP"});
  EXPECT_EQ(matcher.Push("go on S"), "go on ");
  EXPECT_EQ(matcher.Push("T"), "");
  EXPECT_EQ(matcher.Push("ART"), "START");
}

TEST(StopMatcherTest, StopStringAcrossPiecesIsLeftOut) {
  StopMatcher matcher({"\n\nUser:"});
  EXPECT_EQ(matcher.Push("Yes.\n"), "Yes.");
  EXPECT_EQ(matcher.Push("\nUs"), "");
  EXPECT_EQ(matcher.Push("er: and more"), "");
  ASSERT_NE(matcher.matched(), nullptr);
  EXPECT_EQ(*matcher.matched(), "\n\nUser:");
  EXPECT_EQ(matcher.Push("never shown"), "");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcherTest, WhatIsHeldBackAtTheEndComesOut) {
  StopMatcher matcher({"abcd"});
  EXPECT_EQ(matcher.Push("xabc"), "x");
  EXPECT_EQ(matcher.Flush(), "abc");
}

TEST(StopMatcherTest, RepeatedBeginningsAreNotMissed) {
  EXPECT_EQ(Feed({"aab"}, "aaab", 1), (Result{"a", "aab"}));
  EXPECT_EQ(Feed({"abab!"}, "ababab!", 1), (Result{"ab", "abab!"}));
}

TEST(StopMatcherTest, TheOneCompleteFirstCounts) {
  EXPECT_EQ(Feed({"bcdef", "cd"}, "abcdefg", 7), (Result{"ab", "cd"}));
}

TEST(StopMatcherTest, OfTwoCompleteAtTheSamePlaceTheLongerCounts) {
  EXPECT_EQ(Feed({"d", "bcd"}, "abcde", 5), (Result{"a", "bcd"}));
  EXPECT_EQ(Feed({"bcd", "d"}, "abcde", 1), (Result{"a", "bcd"}));
}

TEST(StopMatcherTest, ResultDoesNotDependOnTokenBorders) {
  std::mt19937 random(3);
  const std::vector<std::string> stops = {"aba", "bb", "abcab", "cc"};
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (int i = 0; i < 20; ++i) text += static_cast<char>('a' + random() % 3);
    const Result whole = Feed(stops, text, text.size());
    for (size_t piece = 1; piece < 7; ++piece) EXPECT_EQ(Feed(stops, text, piece), whole) << text;
  }
}

TEST(ToValidUtf8Test, ValidTextStaysAsItIs) {
  EXPECT_EQ(ToValidUtf8("Grüße, 世界 🙂"), "Grüße, 世界 🙂");
}

TEST(ToValidUtf8Test, BrokenBytesBecomeReplacementCharacters) {
  EXPECT_EQ(ToValidUtf8("a\xff"
                        "b"),
            "a\uFFFD"
            "b");
  EXPECT_EQ(ToValidUtf8("a\xe4\xb8"), "a\uFFFD");
  EXPECT_EQ(ToValidUtf8(""), "");
}

}  // namespace
}  // namespace hearth
