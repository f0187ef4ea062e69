#include "engine/token/clean_spaces.h"

#include "gtest/gtest.h"

namespace hearth {
namespace {

TEST(CleanSpaces, JoinsPunctuationToTheWordBefore) {
  EXPECT_EQ(CleanSpaces("Hi , you ? Yes ! ."), "Hi, you? Yes!.");
}

TEST(CleanSpaces, TakesOnlyOneSpaceAway) { EXPECT_EQ(CleanSpaces("a  ."), "a ."); }

TEST(CleanSpaces, JoinsALoneApostropheOnBothSides) {
  EXPECT_EQ(CleanSpaces("a ' b"), "a'b");
  EXPECT_EQ(CleanSpaces("a ' ' b"), "a'' b");  // the space after the first is gone already
}

TEST(CleanSpaces, JoinsSomeContractions) {
  EXPECT_EQ(CleanSpaces("it 's I 'm we 're you 've"), "it's I'm we're you've");
  EXPECT_EQ(CleanSpaces("he 'd don 't I 'll"), "he 'd don 't I 'll");
}

TEST(CleanSpaces, LeavesOtherTextAlone) {
  for (const char* text : {"", " ", ".", "'", " '", "a.b", "(a) : b", "x '"})
    EXPECT_EQ(CleanSpaces(text), text);
}

}  // namespace
}  // namespace hearth
