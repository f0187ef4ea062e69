#include "engine/tools/profile_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(ProfilePicture, DrawsACurveAndAMarkPerLayerWithFigures) {
  const std::string svg =
      ProfilePicture("demo", {OrderByFiring({0.5f, 0.25f}), OrderByFiring({}), OrderByFiring({1, 1, 0, 0})});
  EXPECT_THAT(svg, StartsWith("<svg xmlns="));
  EXPECT_THAT(svg, EndsWith("</svg>\n"));
  EXPECT_EQ(Count(svg, "class=\"curve\""), 2u);
  EXPECT_EQ(Count(svg, "<circle"), 2u);
  EXPECT_THAT(svg, HasSubstr("layer 2: mean 50 %"));
  EXPECT_THAT(svg, Not(HasSubstr("layer 1:")));
}

TEST(ProfilePicture, CurvesRunFromTheMostToTheLeastFrequent) {
  const std::string svg = ProfilePicture("demo", {OrderByFiring({0, 1})});
  EXPECT_THAT(svg, HasSubstr("d=\"M64.0 48.0L560.0 360.0\""));  // from 100 % down to 0 %
}

TEST(ProfilePicture, LargeLayersAreThinnedOut) {
  const std::string svg = ProfilePicture("demo", {OrderByFiring(std::vector<float>(100000, 0.5f))});
  EXPECT_LT(svg.size(), 10000u);
}

TEST(ProfilePicture, ALayerThatNeverFiresHasNoMark) {
  EXPECT_EQ(Count(ProfilePicture("demo", {OrderByFiring({0, 0})}), "<circle"), 0u);
}

TEST(ProfilePicture, TitlesCannotBreakThePicture) {
  EXPECT_THAT(ProfilePicture("a<b>&\n", {}), HasSubstr(">a&lt;b&gt;&amp;\\n<"));
}

}  // namespace
}  // namespace hearth
