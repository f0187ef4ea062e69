#include "daemon/cluster/loss_backoff.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(seconds); }

TEST(LossBackoffTest, FirstLossIsForgiven) {
  LossBackoff backoff;
  EXPECT_LT(backoff.UsableFrom("b"), At(0));
  backoff.NoteLoss("b", At(100));
  EXPECT_LT(backoff.UsableFrom("b"), At(100));
}

TEST(LossBackoffTest, EachFurtherLossDoublesThePauseUpToFiveMinutes) {
  LossBackoff backoff;
  backoff.NoteLoss("b", At(100));
  for (const int64_t pause : {2, 4, 8, 16, 32, 64, 128, 256, 300, 300}) {
    backoff.NoteLoss("b", At(100));
    EXPECT_EQ(backoff.UsableFrom("b"), At(100 + pause));
  }
}

TEST(LossBackoffTest, OtherHostsAreNotConcerned) {
  LossBackoff backoff;
  for (int i = 0; i < 5; ++i) backoff.NoteLoss("b", At(100));
  backoff.NoteLoss("c", At(100));
  EXPECT_LT(backoff.UsableFrom("c"), At(100));
}

TEST(LossBackoffTest, LongTimeWithoutALossClearsTheRecord) {
  LossBackoff backoff;
  for (int i = 0; i < 5; ++i) backoff.NoteLoss("b", At(100));
  backoff.NoteLoss("b", At(100 + 601));
  EXPECT_LT(backoff.UsableFrom("b"), At(100 + 601));
}

}  // namespace
}  // namespace hearth
