#include "daemon/joining/coordinator_lan.h"

#include <gtest/gtest.h>

#include "daemon/identity/identity_files.h"
#include "tests/daemon/identity/temporary_state.h"

namespace hearth {
namespace {

class CoordinatorLanTest : public ::testing::Test {
 protected:
  std::string ListensAt(bool asked, const std::string& listen) const {
    return CoordinatorLan::ListensAt(files_, asked, listen).value();
  }

  TemporaryState state_;
  const IdentityFiles files_ = IdentityFiles::Open(state_.path()).value();
};

TEST_F(CoordinatorLanTest, OneThatHasNotLedListensWhereItIsAskedTo) {
  EXPECT_EQ(ListensAt(true, "10.0.0.1:7000"), "10.0.0.1:7000");
  EXPECT_EQ(ListensAt(true, ""), kDefaultLan);
  EXPECT_EQ(ListensAt(true, "10.0.0.1:0"), "");  // nobody knows yet
}

TEST_F(CoordinatorLanTest, OneThatIsNotAskedDoesSoWhereItHasBefore) {
  EXPECT_EQ(ListensAt(false, ""), "");
  EXPECT_EQ(ListensAt(false, "10.0.0.1:7000"), "");
  ASSERT_TRUE(files_.Write("lan", "10.0.0.1:7000\n10.0.0.1:7001\n").ok());
  EXPECT_EQ(ListensAt(false, ""), "10.0.0.1:7000");
  EXPECT_EQ(ListensAt(true, "10.0.0.1:8000"), "10.0.0.1:8000");
}

TEST_F(CoordinatorLanTest, AnAddressThatCannotBeIsAnError) {
  EXPECT_FALSE(CoordinatorLan::ListensAt(files_, true, "10.0.0.1").ok());
  EXPECT_FALSE(CoordinatorLan::ListensAt(files_, true, "10.0.0.1:65535").ok());  // where is the door?
}

}  // namespace
}  // namespace hearth
