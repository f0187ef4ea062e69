#include "daemon/joining/applicants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ApplicantsTest : public ::testing::Test {
 protected:
  // One with a key and a code of its own.
  absl::StatusOr<Applicants::Ticket> Add(int number, const std::string& network) {
    HostId::Digest digest{};
    digest[0] = static_cast<uint8_t>(number);
    Applicant applicant;
    applicant.code = absl::StrCat(100000 + number);
    applicant.id = HostId(digest);
    applicant.since = now_;
    return applicants_.Add(applicant, network);
  }

  Applicants::TimePoint now_{std::chrono::hours(1)};
  Applicants applicants_;
};

TEST_F(ApplicantsTest, IsTakenByItsCodeOnce) {
  ASSERT_TRUE(Add(1, "x").ok());
  const auto ticket = Add(2, "x");
  ASSERT_TRUE(ticket.ok());
  const auto taken = applicants_.Take("100002", now_);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->ticket, *ticket);
  EXPECT_TRUE(absl::IsNotFound(applicants_.Take("100002", now_).status()));
  EXPECT_THAT(applicants_.List(now_), SizeIs(1));
}

TEST_F(ApplicantsTest, OneThatHasLeftIsNotTaken) {
  applicants_.Remove(Add(1, "x").value());
  EXPECT_THAT(applicants_.List(now_), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(applicants_.Take("100001", now_).status()));
}

TEST_F(ApplicantsTest, NobodyIsTakenAfterTenMinutes) {
  ASSERT_TRUE(Add(1, "x").ok());
  ASSERT_TRUE(Add(2, "y").ok());
  now_ += minutes(10) - seconds(1);
  EXPECT_TRUE(applicants_.Take("100001", now_).ok());
  now_ += seconds(1);
  EXPECT_THAT(applicants_.List(now_), IsEmpty());
  EXPECT_FALSE(applicants_.Take("100002", now_).ok());
}

TEST_F(ApplicantsTest, ANetworkCannotFillThePlace) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Add(i, "x").ok()) << i;
  const absl::Status refused = Add(4, "x").status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(refused.message(), HasSubstr("`hearth approve`"));
  EXPECT_TRUE(Add(4, "y").ok());
}

TEST_F(ApplicantsTest, ThereIsRoomForSixteenUntilTimeIsOver) {
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(Add(i, absl::StrCat(i)).ok()) << i;
  EXPECT_TRUE(absl::IsResourceExhausted(Add(16, "other").status()));
  now_ += minutes(10);
  EXPECT_TRUE(Add(16, "other").ok());
  EXPECT_THAT(applicants_.List(now_), SizeIs(1));
}

TEST_F(ApplicantsTest, AKeyWaitsOnce) {
  const auto first = Add(1, "x");
  Applicant again = applicants_.List(now_)[0];
  again.code = "222222";
  const auto second = applicants_.Add(again, "y");
  ASSERT_TRUE(second.ok());
  EXPECT_NE(*first, *second);
  EXPECT_THAT(applicants_.List(now_), SizeIs(1));
  EXPECT_FALSE(applicants_.Take("100001", now_).ok());
  EXPECT_TRUE(applicants_.Take("222222", now_).ok());
}

TEST_F(ApplicantsTest, NoTwoHaveOneCode) {
  ASSERT_TRUE(Add(1, "x").ok());
  Applicant other = applicants_.List(now_)[0];
  other.id = HostId();
  EXPECT_TRUE(absl::IsAborted(applicants_.Add(other, "y").status()));
}

TEST_F(ApplicantsTest, AfterFiveWrongCodesNoneIsHeardForAMinute) {
  ASSERT_TRUE(Add(1, "x").ok());
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(absl::IsNotFound(applicants_.Take("999999", now_).status())) << i;
    now_ += seconds(10);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(applicants_.Take("100001", now_).status()));
  now_ += seconds(49);
  EXPECT_TRUE(absl::IsResourceExhausted(applicants_.Take("100001", now_).status()));
  now_ += seconds(1);
  EXPECT_TRUE(applicants_.Take("100001", now_).ok());
}

TEST_F(ApplicantsTest, WrongCodesThatLieApartAreHeard) {
  ASSERT_TRUE(Add(1, "x").ok());
  for (int i = 0; i < 12; ++i) {
    EXPECT_TRUE(absl::IsNotFound(applicants_.Take("999999", now_).status())) << i;
    now_ += seconds(16);
  }
  EXPECT_TRUE(applicants_.Take("100001", now_).ok());
}

TEST_F(ApplicantsTest, WhoeverStandsBetweenHasFewGuesses) {
  int of_one = 0, of_all = 0;
  for (int i = 0; i < 600; ++i) {
    of_one += applicants_.Greet("x", now_).ok();
    now_ += seconds(1);
  }
  EXPECT_LE(of_one, 15);
  EXPECT_GE(of_one, 14);
  for (int i = 0; i < 600; ++i) {
    of_all += applicants_.Greet(absl::StrCat("n", i), now_).ok();
    now_ += seconds(1);
  }
  EXPECT_LE(of_all, 36);
  EXPECT_GE(of_all, 20);
}

TEST_F(ApplicantsTest, OneNetworkDoesNotTakeAllTurns) {
  for (int i = 0; i < 100; ++i) (void)applicants_.Greet("x", now_);
  EXPECT_TRUE(applicants_.Greet("y", now_).ok());
}

}  // namespace
}  // namespace hearth
