#include "daemon/discovery/lan_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(LanSearch, AnswersOfOneHomeAreOne) {
  std::vector<FoundHome> homes;
  AddAnswer({"ABCDEFG", "a", 7772, {"10.0.0.1", "10.1.0.1"}}, "10.1.0.1", homes);
  AddAnswer({"ABCDEFG", "a", 7772, {"10.0.0.1", "fd00::1"}}, "fe80::1", homes);
  ASSERT_THAT(homes, SizeIs(1));
  EXPECT_EQ(homes[0].coordinator, "a");
  EXPECT_THAT(homes[0].doors, ElementsAre("10.1.0.1:7772", "10.0.0.1:7772", "[fd00::1]:7772"));
}

TEST(LanSearch, OtherHomesStayApart) {
  std::vector<FoundHome> homes;
  AddAnswer({"ABCDEFG", "a", 7772, {"10.0.0.1"}}, "10.0.0.1", homes);
  AddAnswer({"HIJKLMN", "a", 7772, {"10.0.0.1"}}, "10.0.0.1", homes);
  EXPECT_THAT(homes, SizeIs(2));
}

TEST(LanSearch, WhoeverAnswersOftenTakesNoMoreThanItsRoom) {
  std::vector<FoundHome> homes;
  for (int i = 0; i < 100; ++i) {
    AddAnswer({absl::StrCat(i), "x", 7772, {"10.0.0.1"}}, "10.0.0.9", homes);
    AddAnswer({"0", "x", static_cast<uint16_t>(1000 + i), {"10.0.0.1"}}, "10.0.0.9", homes);
  }
  EXPECT_THAT(homes, SizeIs(kMostHomes));
  EXPECT_THAT(homes[0].doors, SizeIs(kMostDoors));
}

}  // namespace
}  // namespace hearth
