#include "engine/neuron/firing_counter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace hearth {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(FiringCounterTest, SharesAreThoseOfEachGroup) {
  FiringCounter counter({4, 6, 16});
  counter.Note({0, 3, 4, 15});
  const FiringShares seen = counter.shares();
  EXPECT_EQ(seen.rows, 1u);
  EXPECT_THAT(seen.shares, ElementsAre(0.5f, 0.5f, 0.1f));
}

TEST(FiringCounterTest, LooksAtOneRequestOfEight) {
  FiringCounter counter({2});
  for (uint64_t i = 0; i < 2 * FiringCounter::kRequestsPerLook; ++i) {
    counter.Note(i == 0 ? std::vector<uint32_t>{0, 1} : std::vector<uint32_t>{});
  }
  EXPECT_EQ(counter.shares().rows, 2u);
  EXPECT_THAT(counter.shares().shares, ElementsAre(0.5f));
}

TEST(FiringCounterTest, NothingSeenIsNoRows) {
  const FiringCounter counter({4, 6});
  EXPECT_EQ(counter.shares().rows, 0u);
  EXPECT_THAT(counter.shares().shares, Each(0));
}

TEST(FiringCounterTest, WhatWasSeenLongAgoFades) {
  FiringCounter counter({1, 2});
  const auto note = [&](uint64_t rows, uint32_t id) {
    for (uint64_t i = 0; i < rows * FiringCounter::kRequestsPerLook; ++i) counter.Note({id});
  };
  note(FiringCounter::kFade, 0);
  note(3 * FiringCounter::kFade, 1);
  EXPECT_LE(counter.shares().rows, FiringCounter::kFade);
  EXPECT_LT(counter.shares().shares[0], 0.1);
  EXPECT_GT(counter.shares().shares[1], 0.9);
}

}  // namespace
}  // namespace hearth
