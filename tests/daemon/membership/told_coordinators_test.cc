#include "daemon/membership/told_coordinators.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

class ToldCoordinatorsTest : public ::testing::Test {
 protected:
  ToldCoordinatorsTest()
      : dir_(absl::StrCat(::testing::TempDir(), "told-", ::getpid(), "-",
                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(dir_);
  }
  ~ToldCoordinatorsTest() override { std::filesystem::remove_all(dir_); }

  // The addresses that a worker uses which was given these ones and is started now.
  std::string AtStart(const std::string& given) const {
    const CoordinatorAddresses addresses(given);
    const ToldCoordinators told(file_, addresses);
    return addresses.text();
  }
  void Write(const std::string& text) const { std::ofstream(file_) << text; }

  const std::string dir_;
  const std::string file_ = dir_ + "/coordinators";
};

TEST_F(ToldCoordinatorsTest, AreUsedBehindThoseGivenAndAgainAtTheNextStart) {
  const CoordinatorAddresses addresses("a:1");
  ToldCoordinators told(file_, addresses);
  EXPECT_EQ(addresses.text(), "a:1");
  EXPECT_TRUE(told.Take({"b:1", "a:1", "c:1"}).ok());
  EXPECT_EQ(addresses.text(), "a:1,b:1,c:1");
  EXPECT_EQ(AtStart("a:1"), "a:1,b:1,c:1");
  EXPECT_TRUE(told.Take({"c:1"}).ok());
  EXPECT_EQ(addresses.text(), "a:1,c:1");
  EXPECT_EQ(AtStart("a:1"), "a:1,c:1");
}

TEST_F(ToldCoordinatorsTest, TheOneInUseStaysWhenOthersAreTold) {
  const CoordinatorAddresses addresses("a:1");
  ToldCoordinators told(file_, addresses);
  EXPECT_TRUE(told.Take({"b:1"}).ok());
  addresses.PassOver("a:1");
  EXPECT_TRUE(told.Take({"c:1", "b:1"}).ok());
  EXPECT_EQ(addresses.current(), "b:1");
}

TEST_F(ToldCoordinatorsTest, AreForgottenWhereTheWorkerIsGivenOthers) {
  EXPECT_TRUE(ToldCoordinators(file_, CoordinatorAddresses("a:1")).Take({"b:1"}).ok());
  EXPECT_EQ(AtStart("x:1"), "x:1");
}

TEST_F(ToldCoordinatorsTest, OfACoordinatorThatLeadsAloneNothingStays) {
  ToldCoordinators told(file_, CoordinatorAddresses("a:1"));
  EXPECT_TRUE(told.Take({"b:1"}).ok());
  EXPECT_TRUE(told.Take({}).ok());
  EXPECT_EQ(AtStart("a:1"), "a:1");
}

TEST_F(ToldCoordinatorsTest, ACoordinatorOfAFormerTermIsLeftAlsoAfterTheNextStart) {
  const CoordinatorAddresses addresses("a:1");
  ToldCoordinators told(file_, addresses);
  EXPECT_TRUE(told.Take({"b:1"}, {"home", 2}).ok());
  EXPECT_TRUE(told.Take({"b:1"}, {"home", 2}).ok());
  EXPECT_EQ(told.Take({"x:1"}, {"home", 1}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(addresses.text(), "a:1,b:1");
  const CoordinatorAddresses again("a:1");
  ToldCoordinators next(file_, again);
  EXPECT_EQ(again.text(), "a:1,b:1");
  EXPECT_FALSE(next.Take({}, {"home", 1}).ok());
  EXPECT_TRUE(next.Take({}, {"home", 3}).ok());
}

TEST_F(ToldCoordinatorsTest, AnotherHomeHasTermsOfItsOwn) {
  ToldCoordinators told(file_, CoordinatorAddresses("a:1"));
  EXPECT_TRUE(told.Take({}, {"home", 2}).ok());
  EXPECT_TRUE(told.Take({}, {"other", 1}).ok());
}

TEST_F(ToldCoordinatorsTest, ADamagedFileIsAsGoodAsNone) {
  for (const std::string& text : {std::string(), std::string("a:1\nb"), std::string("a:1\nb:1,c:1\n"),
                                  std::string("a:1\n\x01:1\n"), std::string("a:1\nterm home\nb:1\n"),
                                  std::string("a:1\nterm home -1\nb:1\n"), std::string(1 << 20, 'a')}) {
    Write(text);
    EXPECT_EQ(AtStart("a:1"), "a:1") << text.substr(0, 20);
  }
}

TEST_F(ToldCoordinatorsTest, AreUsedThoughTheyCannotBeKept) {
  std::filesystem::create_directories(file_);  // no file can take its place
  const CoordinatorAddresses addresses("a:1");
  EXPECT_TRUE(ToldCoordinators(file_, addresses).Take({"b:1"}).ok());
  EXPECT_EQ(addresses.text(), "a:1,b:1");
}

TEST_F(ToldCoordinatorsTest, WithoutAFileNothingIsUsed) {
  const CoordinatorAddresses addresses("a:1");
  EXPECT_TRUE(ToldCoordinators("", addresses).Take({"b:1"}).ok());
  EXPECT_EQ(addresses.text(), "a:1");
}

}  // namespace
}  // namespace hearth
