#include "daemon/planning/host_backoff.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(seconds); }

TEST(HostBackoffTest, FirstLossIsForgiven) {
  HostBackoff backoff;
  EXPECT_LT(backoff.UsableFrom("b", 1), At(0));
  backoff.NoteLoss("b", At(100));
  EXPECT_LT(backoff.UsableFrom("b", 1), At(100));
}

TEST(HostBackoffTest, EachFurtherLossDoublesThePauseUpToFiveMinutes) {
  HostBackoff backoff;
  backoff.NoteLoss("b", At(100));
  for (const int64_t pause : {2, 4, 8, 16, 32, 64, 128, 256, 300, 300}) {
    backoff.NoteLoss("b", At(100));
    EXPECT_EQ(backoff.UsableFrom("b", 1), At(100 + pause));
  }
}

TEST(HostBackoffTest, OtherHostsAreNotConcerned) {
  HostBackoff backoff;
  for (int i = 0; i < 5; ++i) backoff.NoteLoss("b", At(100));
  backoff.NoteLoss("c", At(100));
  EXPECT_LT(backoff.UsableFrom("c", 1), At(100));
}

TEST(HostBackoffTest, LongTimeWithoutALossClearsTheRecord) {
  HostBackoff backoff;
  for (int i = 0; i < 5; ++i) backoff.NoteLoss("b", At(100));
  backoff.NoteLoss("b", At(100 + 601));
  EXPECT_LT(backoff.UsableFrom("b", 1), At(100 + 601));
}

TEST(HostBackoffTest, FailedLoadIsNotForgivenAndKeepsItsReason) {
  HostBackoff backoff;
  EXPECT_EQ(backoff.Reason("b"), "");
  backoff.NoteFailedLoad("b", 7, "its disk is full", At(100));
  EXPECT_EQ(backoff.UsableFrom("b", 7), At(102));
  EXPECT_EQ(backoff.Reason("b"), "its disk is full");
  backoff.NoteFailedLoad("b", 7, "its disk is full", At(102));
  EXPECT_EQ(backoff.UsableFrom("b", 7), At(106));
}

TEST(HostBackoffTest, HostThatStartsAnewMayTryToLoadAtOnceButALossIsRemembered) {
  HostBackoff backoff;
  backoff.NoteFailedLoad("b", 7, "its disk is full", At(100));
  EXPECT_EQ(backoff.UsableFrom("b", 8), absl::InfinitePast());
  for (int i = 0; i < 2; ++i) backoff.NoteLoss("c", At(100));
  EXPECT_EQ(backoff.UsableFrom("c", 7), At(102));
  EXPECT_EQ(backoff.UsableFrom("c", 8), At(102));
}

}  // namespace
}  // namespace hearth
