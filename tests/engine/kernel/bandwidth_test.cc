#include "engine/kernel/bandwidth.h"

#include "engine/base/thread_pool.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

// Wide bounds that a broken clock, unit or loop would miss: from a slow single-board computer to a large
// server.
TEST(Bandwidth, IsThatOfAMachine) {
  ThreadPool pool(2);
  const double bytes_per_second = MeasureReadBandwidth(pool);
  EXPECT_GT(bytes_per_second, 1e8);
  EXPECT_LT(bytes_per_second, 1e13);
}

TEST(ArithmeticRates, AreThoseOfAMachine) {
  ThreadPool pool(1);
  for (const double rate : {MeasureInt8Rate(pool), MeasureF32Rate(pool)}) {
    EXPECT_GT(rate, 1e7);
    EXPECT_LT(rate, 1e15);
  }
}

}  // namespace
}  // namespace hearth
