#include "daemon/membership/link_figures.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

constexpr placement::Link kGigabit = {200, 1.17e8};

LinkFigures Measured(const placement::Link& link) {
  LinkFigures figures;
  EXPECT_TRUE(figures.Add(link));
  return figures;
}

TEST(LinkFiguresTest, FirstMeasurementIsTakenAsItIs) {
  EXPECT_EQ(Measured(kGigabit).now().bytes_per_s, kGigabit.bytes_per_s);
  EXPECT_EQ(Measured(kGigabit).now().round_trip_us, kGigabit.round_trip_us);
}

TEST(LinkFiguresTest, MeasurementNearTheFormerOneChangesNothing) {
  LinkFigures figures = Measured(kGigabit);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(figures.Add({480, 0.6e8}));
  EXPECT_EQ(figures.now().round_trip_us, kGigabit.round_trip_us);
}

TEST(LinkFiguresTest, BadMomentsChangeNothing) {
  LinkFigures figures = Measured(kGigabit);
  EXPECT_FALSE(figures.Add({9000, 1e6}));
  EXPECT_FALSE(figures.Add({9000, 1e6}));
  EXPECT_FALSE(figures.Add(kGigabit));
  EXPECT_FALSE(figures.Add({9000, 1e6}));
  EXPECT_EQ(figures.now().bytes_per_s, kGigabit.bytes_per_s);
}

TEST(LinkFiguresTest, LinkThatStaysSlowIsTakenAsSlowAndBackOnceItIsFast) {
  LinkFigures figures = Measured(kGigabit);
  EXPECT_FALSE(figures.Add({3000, 1.2e6}));
  EXPECT_FALSE(figures.Add({200, 1.2e6}));
  EXPECT_TRUE(figures.Add({3500, 1.3e6}));
  EXPECT_EQ(figures.now().bytes_per_s, 1.3e6);
  EXPECT_FALSE(figures.Add(kGigabit));
  EXPECT_FALSE(figures.Add(kGigabit));
  EXPECT_TRUE(figures.Add(kGigabit));
  EXPECT_EQ(figures.now().bytes_per_s, kGigabit.bytes_per_s);
}

TEST(LinkFiguresTest, RoundTripAloneCounts) {
  LinkFigures figures = Measured(kGigabit);
  EXPECT_FALSE(figures.Add({40000, 1e8}));
  EXPECT_FALSE(figures.Add({39000, 1e8}));
  EXPECT_TRUE(figures.Add({41000, 1e8}));
  EXPECT_EQ(figures.now().round_trip_us, 41000);
}

TEST(LinkFiguresTest, MicrosecondsOfLoopbackAreNoChange) {
  LinkFigures figures = Measured({15, 5e9});
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(figures.Add({250, 5e9}));
}

TEST(LinkFiguresTest, OppositeDoubtsDoNotAddUp) {
  LinkFigures figures = Measured(kGigabit);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(figures.Add({200, 1e7}));
    EXPECT_FALSE(figures.Add({200, 1e9}));
  }
}

}  // namespace
}  // namespace hearth
