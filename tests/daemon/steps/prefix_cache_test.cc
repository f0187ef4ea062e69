#include "daemon/steps/prefix_cache.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

constexpr ReuseRules kAlike{.rows_alike = true};

HeldTokens Prompt(std::vector<TokenId> tokens) {
  const auto count = static_cast<uint32_t>(tokens.size());
  return {std::move(tokens), count};
}

void ExpectFound(const PrefixCache::Found& found, uint32_t slot, uint32_t length) {
  EXPECT_EQ(found.slot, slot);
  EXPECT_EQ(found.length, length);
}

TEST(PrefixCacheTest, EmptySlotsAreTakenInTheirOrder) {
  const PrefixCache cache(3);
  ExpectFound(cache.Find({0, 1, 2}, Prompt({1, 2}), kAlike), 0, 0);
  ExpectFound(cache.Find({2}, Prompt({1, 2}), kAlike), 2, 0);
}

TEST(PrefixCacheTest, NextTurnOfAChatGoesOnInItsSlot) {
  PrefixCache cache(3);
  cache.Keep(1, {{1, 2, 3, 4, 5}, 3});
  ExpectFound(cache.Find({0, 1, 2}, Prompt({1, 2, 3, 4, 5, 6, 7}), kAlike), 1, 5);
}

TEST(PrefixCacheTest, LastTokenIsAlwaysEvaluated) {
  PrefixCache cache(1);
  cache.Keep(0, Prompt({1, 2, 3}));
  ExpectFound(cache.Find({0}, Prompt({1, 2, 3}), kAlike), 0, 2);
  ExpectFound(cache.Find({0}, Prompt({1}), kAlike), 0, 0);
}

TEST(PrefixCacheTest, GeneratedTokensAreReadAgainWhereTheyDifferFromAPrompts) {
  PrefixCache cache(1);
  cache.Keep(0, {{1, 2, 3, 4, 5}, 3});
  ExpectFound(cache.Find({0}, Prompt({1, 2, 3, 4, 5, 6}), {.rows_alike = false}), 0, 3);
  // A sequence that comes back finds its own.
  ExpectFound(cache.Find({0}, {{1, 2, 3, 4, 5, 6}, 3}, {.rows_alike = false}), 0, 5);
  // Read as a prompt, wanted as generated.
  cache.Keep(0, Prompt({1, 2, 3, 4, 5}));
  ExpectFound(cache.Find({0}, {{1, 2, 3, 4, 5, 6}, 3}, {.rows_alike = false}), 0, 3);
}

TEST(PrefixCacheTest, RecurrentStateGoesOnOnlyWhereItEnded) {
  PrefixCache cache(1);
  cache.Keep(0, Prompt({1, 2, 3}));
  const ReuseRules recurrent{.rows_alike = true, .can_cut = false};
  ExpectFound(cache.Find({0}, Prompt({1, 2, 3, 4}), recurrent), 0, 3);
  ExpectFound(cache.Find({0}, Prompt({1, 2, 4, 4}), recurrent), 0, 0);
  ExpectFound(cache.Find({0}, Prompt({1, 2, 3}), recurrent), 0, 0);
}

TEST(PrefixCacheTest, LongestBeginningWins) {
  PrefixCache cache(3);
  cache.Keep(0, Prompt({1, 2, 3}));
  cache.Keep(1, Prompt({1, 2, 3, 4, 5}));
  cache.Keep(2, Prompt({1, 2}));
  ExpectFound(cache.Find({0, 1, 2}, Prompt({1, 2, 3, 4, 9}), kAlike), 1, 4);
  ExpectFound(cache.Find({0, 2}, Prompt({1, 2, 3, 4, 9}), kAlike), 0, 3);
}

TEST(PrefixCacheTest, LongChatIsNotGivenUpForAFewTokensOfIt) {
  PrefixCache cache(3);
  cache.Keep(0, Prompt({1, 2, 3, 4, 5, 6, 7, 8}));
  ExpectFound(cache.Find({0, 1, 2}, Prompt({1, 2, 9, 9}), kAlike), 1, 0);
}

TEST(PrefixCacheTest, LeastRecentlyUsedIsGivenUpFirstAndItsBeginningUsed) {
  PrefixCache cache(3);
  cache.Keep(1, Prompt({1, 7, 7, 7, 7}));
  cache.Keep(0, Prompt({1, 8, 8, 8, 8}));
  cache.Keep(2, Prompt({1, 9, 9, 9, 9}));
  ExpectFound(cache.Find({0, 1, 2}, Prompt({1, 5}), kAlike), 1, 1);
}

TEST(PrefixCacheTest, WhatIsCutOrTakenIsNotFound) {
  PrefixCache cache(2);
  cache.Keep(0, Prompt({1, 2, 3, 4}));
  cache.Cut(0, 2);
  ExpectFound(cache.Find({0, 1}, Prompt({1, 2, 3, 4, 5}), kAlike), 0, 2);
  cache.Cut(0, 100);
  ExpectFound(cache.Find({0, 1}, Prompt({1, 2, 3, 4, 5}), kAlike), 0, 2);
  cache.Take(0);
  ExpectFound(cache.Find({0, 1}, Prompt({1, 2, 3, 4, 5}), kAlike), 0, 0);
}

}  // namespace
}  // namespace hearth
