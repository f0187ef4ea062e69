#include "client/command/answer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace hearth {
namespace {

// What is shown of an answer that comes in these pieces, with [ and ] for the codes of dim and plain letters.
std::string Shown(const std::vector<std::string>& pieces) {
  ReasoningDimmer dimmer;
  std::string shown;
  for (const std::string& piece : pieces) shown += dimmer.Push(piece);
  shown += dimmer.Flush();
  for (const auto& [code, sign] : {std::pair<std::string, std::string>{"\x1b[2m", "["}, {"\x1b[22m", "]"}}) {
    for (size_t at = 0; (at = shown.find(code)) != std::string::npos;) shown.replace(at, code.size(), sign);
  }
  return shown;
}

TEST(ReasoningDimmerTest, ReasoningIsDimmedAndItsMarksAreGone) {
  EXPECT_EQ(Shown({"<think>so</think>yes"}), "[so]yes");
  EXPECT_EQ(Shown({"a<think>b</think>c<think>d</think>e"}), "a[b]c[d]e");
}

TEST(ReasoningDimmerTest, MarksMayComeInPieces) {
  EXPECT_EQ(Shown({"<", "th", "ink>", "s", "o<", "/thi", "nk", ">", "yes"}), "[so]yes");
}

TEST(ReasoningDimmerTest, WhatOnlyLooksLikeAMarkIsShown) {
  EXPECT_EQ(Shown({"a <", "b> <thin", "g> </think>"}), "a <b> <thing> </think>");
  EXPECT_EQ(Shown({"x<thi"}), "x<thi");
}

TEST(ReasoningDimmerTest, NothingIsHeldBackWithoutNeed) {
  ReasoningDimmer dimmer;
  EXPECT_EQ(dimmer.Push("hello"), "hello");
  EXPECT_EQ(dimmer.Push("<"), "");
  EXPECT_EQ(dimmer.Push("3"), "<3");
}

TEST(ReasoningDimmerTest, ReasoningThatIsCutOffEndsPlain) { EXPECT_EQ(Shown({"<think>so"}), "[so]"); }

}  // namespace
}  // namespace hearth
