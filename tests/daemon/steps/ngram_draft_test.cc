#include "daemon/steps/ngram_draft.h"

#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(NgramDraftTest, TextThatRepeatsNothingGivesNoGuess) {
  NgramDraft draft(4);
  draft.Learn({});
  EXPECT_THAT(draft.guess(), IsEmpty());
  draft.Learn({7});
  EXPECT_THAT(draft.guess(), IsEmpty());
  draft.Learn({7, 8, 9, 10, 11});
  EXPECT_THAT(draft.guess(), IsEmpty());
  EXPECT_EQ(draft.likelihood(), 0);
}

TEST(NgramDraftTest, WhatStoodBehindTheSameTwoTokensIsGuessed) {
  NgramDraft draft(3);
  draft.Learn({1, 2, 3, 4, 5, 6, 1, 2});
  EXPECT_THAT(draft.guess(), ElementsAre(3, 4, 5));
}

TEST(NgramDraftTest, LongerLikenessCountsMoreThanANearerOne) {
  NgramDraft draft(1);
  // 1 2 3 4 is followed by 5; later 3 4 alone by 9.
  draft.Learn({1, 2, 3, 4, 5, 8, 3, 4, 9, 8, 1, 2, 3, 4});
  EXPECT_THAT(draft.guess(), ElementsAre(5));
}

TEST(NgramDraftTest, OfEquallyLongOnesTheNewestIsTaken) {
  NgramDraft draft(1);
  draft.Learn({1, 2, 3, 7, 1, 2, 4, 8, 1, 2});
  EXPECT_THAT(draft.guess(), ElementsAre(4));
}

TEST(NgramDraftTest, RepetitionUpToTheEndGoesOn) {
  NgramDraft draft(5);
  draft.Learn({1, 2, 1, 2});
  EXPECT_THAT(draft.guess(), ElementsAre(1, 2, 1, 2, 1));
}

TEST(NgramDraftTest, PlaceThatIsFollowedIsKeptWhileNoneIsMoreAlike) {
  NgramDraft draft(2);
  std::vector<TokenId> text = {1, 2, 3, 4, 5, 6, 7, 8, 3, 4, 9, 9, 1, 2};
  draft.Learn(text);
  text.insert(text.end(), {3, 4});
  draft.Learn(text);
  EXPECT_THAT(draft.guess(), ElementsAre(5, 6));  // 9 stood behind the newest "3 4"
}

TEST(NgramDraftTest, PlaceThatIsFollowedIsLeftForOneThatIsMoreAlike) {
  NgramDraft draft(1);
  // "1 2" is followed from its end at the 8s on; then all of "5 6 1 2" has come, which stood before a 3.
  std::vector<TokenId> text = {5, 6, 1, 2, 3, 7, 1, 2, 8, 8, 5, 6, 1, 2};
  draft.Learn(text);
  EXPECT_THAT(draft.guess(), ElementsAre(3));
}

TEST(NgramDraftTest, TextThatGoesOnOtherwiseIsNoLongerFollowed) {
  NgramDraft draft(1);
  std::vector<TokenId> text = {1, 2, 3, 4, 1, 2};
  draft.Learn(text);
  EXPECT_THAT(draft.guess(), ElementsAre(3));
  text.push_back(9);
  draft.Learn(text);
  EXPECT_THAT(draft.guess(), IsEmpty());
}

TEST(NgramDraftTest, LikelihoodFollowsWhatCame) {
  NgramDraft repeats(4), random(4);
  std::mt19937 draw(1);
  std::vector<TokenId> text, noise;
  for (int i = 0; i < 300; ++i) {
    text.push_back(i % 10);
    repeats.Learn(text);
    noise.push_back(static_cast<TokenId>(draw() % 10));  // every pair has been there before
    random.Learn(noise);
  }
  EXPECT_GT(repeats.likelihood(), 0.95);
  EXPECT_LT(random.likelihood(), 0.3);
}

}  // namespace
}  // namespace hearth
