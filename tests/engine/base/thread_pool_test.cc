#include "engine/base/thread_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

namespace hearth {
namespace {

using ::testing::Each;

// More threads than this machine may have cores: sections must end then too.
class ThreadPoolTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 8));

TEST_P(ThreadPoolTest, RunCallsEveryThreadOnce) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.threads(), GetParam());
  std::vector<int> calls(static_cast<size_t>(GetParam()));
  pool.Run([&](int thread) { ++calls[static_cast<size_t>(thread)]; });
  EXPECT_THAT(calls, Each(1));
}

TEST_P(ThreadPoolTest, ManySectionsSeeWhatTheOnesBeforeWrote) {
  ThreadPool pool(GetParam());
  const auto threads = static_cast<size_t>(GetParam());
  // Each thread reads its neighbour's value of the section before: no lock, the sections alone keep order.
  std::vector<int64_t> before(threads), after(threads);
  constexpr int kSections = 300;
  for (int section = 0; section < kSections; ++section) {
    pool.Run([&](int thread) {
      const auto own = static_cast<size_t>(thread);
      after[own] = before[(own + 1) % threads] + 1;
    });
    before.swap(after);
  }
  EXPECT_THAT(before, Each(kSections));
}

TEST_P(ThreadPoolTest, ParallelForCoversEveryItemOnce) {
  ThreadPool pool(GetParam());
  for (const size_t count : {0, 1, 6, 7, 8, 100, 1001}) {
    std::vector<int> covered(count);
    pool.ParallelFor(count, 7, [&](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) ++covered[i];
    });
    EXPECT_THAT(covered, Each(1)) << count;
  }
}

TEST_P(ThreadPoolTest, PiecesBeginAtMultiplesOfTheGrainWhateverTheThreads) {
  ThreadPool pool(GetParam());
  std::atomic<int> pieces{0};
  std::atomic<int> odd{0};
  pool.ParallelFor(23, 5, [&](size_t begin, size_t end, int) {
    ++pieces;
    if (begin % 5 != 0 || (end != 23 && end - begin != 5)) ++odd;
  });
  EXPECT_EQ(pieces, 5);
  EXPECT_EQ(odd, 0);
}

TEST_P(ThreadPoolTest, GrainLargerThanTheCountIsOnePiece) {
  ThreadPool pool(GetParam());
  std::atomic<size_t> covered{0};
  pool.ParallelFor(10, std::numeric_limits<size_t>::max(),
                   [&](size_t begin, size_t end, int) { covered += end - begin; });
  EXPECT_EQ(covered, 10u);
}

TEST_P(ThreadPoolTest, ThreadNumbersStayBelowThePoolSize) {
  ThreadPool pool(GetParam());
  std::atomic<int> outside{0};
  pool.ParallelFor(200, 1, [&](size_t, size_t, int thread) {
    if (thread < 0 || thread >= pool.threads()) ++outside;
  });
  EXPECT_EQ(outside, 0);
}

TEST(ThreadPoolOfOneTest, WorksInTheCallingThread) {
  ThreadPool pool(1);
  std::thread::id where;
  pool.Run([&](int) { where = std::this_thread::get_id(); });
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(ThreadPoolSizeTest, ZeroStandsForTheAvailableCores) {
  EXPECT_GE(ThreadPool::AvailableCores(), 1);
  EXPECT_EQ(ThreadPool(0).threads(), ThreadPool::AvailableCores());
}

TEST(ThreadPoolSizeTest, UnusedPoolEnds) { ThreadPool pool(4); }

TEST(ThreadPoolDeathTest, NegativeSizeIsABug) { EXPECT_DEATH(ThreadPool(-1), "check failed"); }

}  // namespace
}  // namespace hearth
