#include "daemon/planning/memory_claims.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

const DeviceName kHere{"a", "cpu"}, kThere{"b", "cpu"};

// A model for which both devices have 100 bytes.
MemoryClaim Claim(uint64_t wants_here, uint64_t wants_there, uint64_t has_here, uint64_t has_there) {
  return {{{kHere, 100}, {kThere, 100}},
          {{kHere, wants_here}, {kThere, wants_there}},
          {{kHere, has_here}, {kThere, has_there}},
          true};
}

TEST(MemoryClaims, WhatOthersHoldBeyondTheirReserveStandsInTheWay) {
  EXPECT_EQ(FullDevice({Claim(60, 0, 0, 0), Claim(40, 0, 41, 0)}, 0), kHere);
  EXPECT_EQ(FullDevice({Claim(60, 0, 0, 0), Claim(40, 0, 40, 90)}, 0), std::nullopt);
}

TEST(MemoryClaims, ExcessThatFitsStandsInNobodysWay) {
  EXPECT_EQ(FullDevice({Claim(30, 0, 0, 0), Claim(20, 0, 70, 0)}, 0), std::nullopt);
}

TEST(MemoryClaims, WhatIsReservedAndNotLoadedYetCountsToo) {
  const std::vector<MemoryClaim> claims = {Claim(40, 0, 0, 0), Claim(50, 0, 0, 0), Claim(0, 0, 20, 0)};
  EXPECT_EQ(FullDevice(claims, 0), kHere) << "one of the first two would have no room";
}

TEST(MemoryClaims, OfTwoThatWaitForOneAnotherTheLastGivesUp) {
  std::vector<MemoryClaim> claims = {Claim(0, 80, 80, 0), Claim(80, 0, 0, 80)};
  EXPECT_EQ(FullDevice(claims, 0), kThere);
  EXPECT_EQ(FullDevice(claims, 1), kHere);
  EXPECT_EQ(WhoGivesUp(claims), 1u);
  claims[1].held.clear();  // it has
  EXPECT_EQ(WhoGivesUp(claims), std::nullopt);
  EXPECT_EQ(FullDevice(claims, 0), std::nullopt);
}

TEST(MemoryClaims, NobodyGivesUpForOneWhoIsServedInTime) {
  std::vector<MemoryClaim> claims = {Claim(0, 80, 80, 0), Claim(80, 0, 0, 80)};
  claims[0].waits = false;  // it is loading, and lets go of what it holds then
  EXPECT_EQ(WhoGivesUp(claims), std::nullopt);
}

TEST(MemoryClaims, WhoOnlyWaitsKeepsWhatItHas) {
  // The third waits for the circle of the other two, and nobody for it.
  const std::vector<MemoryClaim> claims = {Claim(0, 60, 60, 0), Claim(50, 0, 0, 60), Claim(45, 0, 10, 0)};
  EXPECT_EQ(WhoGivesUp(claims), 1u);
}

TEST(MemoryClaims, CircleOfThreeIsOpenedByOneOfThem) {
  const DeviceName c{"c", "cpu"};
  const auto claim = [&](DeviceName wants, DeviceName has) {
    return MemoryClaim{{{kHere, 100}, {kThere, 100}, {c, 100}}, {{wants, 80}}, {{has, 80}}, true};
  };
  std::vector<MemoryClaim> claims = {claim(kThere, kHere), claim(c, kThere), claim(kHere, c)};
  EXPECT_EQ(WhoGivesUp(claims), 2u);
  claims[2].held.clear();
  EXPECT_EQ(WhoGivesUp(claims), std::nullopt);
  EXPECT_EQ(FullDevice(claims, 1), std::nullopt);
}

TEST(MemoryClaims, DeviceThatIsGoneStandsInNobodysWay) {
  MemoryClaim claim = Claim(60, 0, 0, 0);
  claim.budgets.erase(kHere);
  EXPECT_EQ(FullDevice({claim, Claim(0, 0, 90, 0)}, 0), std::nullopt);
}

}  // namespace
}  // namespace hearth
