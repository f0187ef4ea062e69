#include "daemon/steps/sequence_draft.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Tokens that follow one another and never repeat.
class SequenceDraftTest : public testing::Test {
 protected:
  void Say(std::initializer_list<TokenId> tokens) {
    text_.insert(text_.end(), tokens);
    draft_.Learn(text_);
  }

  SequenceDraft draft_{4};
  std::vector<TokenId> text_;
};

TEST_F(SequenceDraftTest, WithoutAnOfferNothingIsGuessedOfNewText) {
  Say({1, 2, 3});
  EXPECT_THAT(draft_.guess(), IsEmpty());
  EXPECT_TRUE(draft_.WantsOffer());
}

TEST_F(SequenceDraftTest, OfferIsTheGuessAndItsRestStaysAsLongAsItComesTrue) {
  Say({1, 2, 3});
  draft_.Offer({4, 5, 6});
  EXPECT_THAT(draft_.guess(), ElementsAre(4, 5, 6));
  EXPECT_FALSE(draft_.WantsOffer());
  Say({4});
  EXPECT_THAT(draft_.guess(), ElementsAre(5, 6));
  Say({9});
  EXPECT_THAT(draft_.guess(), IsEmpty());
  EXPECT_TRUE(draft_.WantsOffer());
}

TEST_F(SequenceDraftTest, WhatCameTrueMakesOffersLikelierAndWhatDidNotLess) {
  Say({1});
  const double at_first = draft_.offers_right();
  draft_.Offer({2, 3});
  Say({2, 3});
  const double after_right = draft_.offers_right();
  EXPECT_GT(after_right, at_first);
  draft_.Offer({4});
  Say({9});
  EXPECT_LT(draft_.offers_right(), after_right);
}

TEST_F(SequenceDraftTest, WhoIsNotAskedForLongIsThoughtOfAsAtFirst) {
  Say({1});
  const double at_first = draft_.offers_right();
  for (TokenId token = 2; token < 60; ++token) {
    draft_.Offer({0});
    Say({token});
  }
  EXPECT_LT(draft_.offers_right(), 0.05);
  for (TokenId token = 60; token < 800; ++token) Say({token});
  EXPECT_GT(draft_.offers_right(), 0.9 * at_first);
}

TEST_F(SequenceDraftTest, TextThatRepeatsItselfNeedsNoOffer) {
  Say({1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(draft_.guess(), ElementsAre(9, 1, 2, 3));
  EXPECT_FALSE(draft_.WantsOffer());
}

}  // namespace
}  // namespace hearth
