#include "daemon/planning/host_trials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const placement::Link kLink{200, 1e8};

class HostTrialsTest : public ::testing::Test {
 protected:
  HostTrialsTest() {
    for (const char* host : {"b", "c"}) trials_.See(host, 1, kLink);
  }

  // Tokens of a plan with `hosts` that expects 10 ms of them; without b or c `without_` is expected.
  void Judge(const HostTrials::Hosts& hosts, double measured_us, uint32_t rows = 1) {
    Judge(hosts, measured_us, placement::OfStreams(rows));
  }
  void Judge(const HostTrials::Hosts& hosts, double measured_us, const placement::Objective& step) {
    trials_.Judge(
        hosts, {step, measured_us}, 10'000,
        [&](const std::string& host) {
          ++asked_;
          return without_.contains(host) ? std::optional(without_.at(host)) : std::nullopt;
        },
        now_);
  }

  HostTrials trials_;
  std::map<std::string, double> without_ = {{"b", 20'000}, {"c", 20'000}};
  int asked_ = 0;
  uint64_t session_ = 1;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

TEST_F(HostTrialsTest, PlanThatKeepsItsPromiseIsNotLookedAt) {
  Judge({"b", "c"}, 11'000);
  EXPECT_EQ(asked_, 0);
  EXPECT_FALSE(trials_.LeavesOut("b"));
}

TEST_F(HostTrialsTest, HostWithoutWhichLessIsExpectedIsLeftOutOnTrial) {
  Judge({"b", "c"}, 25'000);
  EXPECT_TRUE(trials_.LeavesOut("b"));
  EXPECT_FALSE(trials_.LeavesOut("c"));
  EXPECT_EQ(trials_.version(), 1u);
  EXPECT_THAT(trials_.Reasons(),
              ElementsAre(HasSubstr(
                  "b is left out on trial: with it a token took 25.00 ms, without it 20.00 ms are")));
}

TEST_F(HostTrialsTest, TrialByPromptsWaitsForPrompts) {
  const placement::Objective prompts{placement::ObjectiveKind::kPrompt, 512};
  Judge({"b", "c"}, 25'000, prompts);
  EXPECT_THAT(trials_.Reasons(),
              ElementsAre(HasSubstr("with it a step for 512 tokens of prompts took 25.00 ms")));
  Judge({"c"}, 1'000);
  EXPECT_EQ(trials_.version(), 1u);
  Judge({"c"}, 30'000, prompts);
  EXPECT_FALSE(trials_.LeavesOut("b"));
}

TEST_F(HostTrialsTest, OfSeveralHostsTheWorstOneGoes) {
  without_["c"] = 18'000;
  Judge({"b", "c"}, 25'000);
  EXPECT_FALSE(trials_.LeavesOut("b"));
  EXPECT_TRUE(trials_.LeavesOut("c"));
}

TEST_F(HostTrialsTest, SlowPlanStaysWhereNothingBetterIsExpected) {
  Judge({"b", "c"}, 20'500);
  EXPECT_FALSE(trials_.LeavesOut("b"));
  EXPECT_EQ(trials_.version(), 0u);
}

TEST_F(HostTrialsTest, HostThatTheModelNeedsIsNeverLeftOut) {
  without_.clear();
  Judge({"b"}, 90'000);
  EXPECT_EQ(asked_, 1);
  EXPECT_FALSE(trials_.LeavesOut("b"));
}

TEST_F(HostTrialsTest, PlanThatWasLookedAtInVainIsLookedAtAgainOnlyWhenItIsWorse) {
  Judge({"b"}, 20'500);
  Judge({"b"}, 21'000);
  EXPECT_EQ(asked_, 1);
  Judge({"b"}, 24'000);
  EXPECT_EQ(asked_, 2);
}

TEST_F(HostTrialsTest, HostStaysOutWhereTokensAreFasterWithoutIt) {
  Judge({"b"}, 25'000);
  Judge({}, 21'000);
  EXPECT_TRUE(trials_.LeavesOut("b"));
  EXPECT_EQ(trials_.version(), 1u);
  EXPECT_THAT(trials_.Reasons(),
              ElementsAre(HasSubstr(
                  "Host b is left out: with it a token took 25.00 ms, without it it takes 21.00 ms.")));
  Judge({}, 90'000);
  EXPECT_TRUE(trials_.LeavesOut("b"));
}

TEST_F(HostTrialsTest, HostIsTakenBackAndTrustedWhereTokensAreSlowerWithoutIt) {
  Judge({"b"}, 25'000);
  Judge({}, 26'000);
  EXPECT_FALSE(trials_.LeavesOut("b"));
  EXPECT_EQ(trials_.version(), 2u);
  EXPECT_THAT(trials_.Reasons(), IsEmpty());
  for (int i = 0; i < 20; ++i) Judge({"b"}, 25'000 * (1 + i));
  EXPECT_FALSE(trials_.LeavesOut("b"));
  EXPECT_EQ(trials_.version(), 2u);
}

TEST_F(HostTrialsTest, WhileThePlanWithoutTheHostIsPreparedNothingIsDecided) {
  Judge({"b"}, 25'000);
  Judge({"b"}, 40'000);
  EXPECT_TRUE(trials_.LeavesOut("b"));
  EXPECT_EQ(trials_.version(), 1u);
}

TEST_F(HostTrialsTest, TrialEndsWhenTheLinksFiguresOrTheSessionChange) {
  Judge({"b"}, 25'000);
  trials_.See("b", 1, kLink);
  EXPECT_TRUE(trials_.LeavesOut("b"));
  trials_.See("b", 1, {100, 1e8});
  EXPECT_FALSE(trials_.LeavesOut("b"));
  EXPECT_EQ(trials_.version(), 2u);
  Judge({"b"}, 25'000);
  EXPECT_TRUE(trials_.LeavesOut("b"));
  trials_.See("b", 2, {100, 1e8});
  EXPECT_FALSE(trials_.LeavesOut("b"));
}

TEST_F(HostTrialsTest, HostIsLeftOutForHalfAMinuteThenTwiceAsLongEachTime) {
  EXPECT_EQ(trials_.NextExpiry(), absl::InfiniteFuture());
  for (const int seconds : {30, 60, 120, 240, 480, 600, 600}) {
    Judge({"b"}, 25'000);
    Judge({}, 21'000);
    EXPECT_EQ(trials_.NextExpiry(), now_ + absl::Seconds(seconds));
    now_ += absl::Seconds(seconds);
    trials_.Expire(now_ - absl::Seconds(1));
    EXPECT_TRUE(trials_.LeavesOut("b"));
    trials_.Expire(now_);
    EXPECT_FALSE(trials_.LeavesOut("b"));
    trials_.See("b", ++session_, kLink);  // so that the same plan is looked at again
  }
}

TEST_F(HostTrialsTest, TrustIsForgottenAfterTenMinutes) {
  Judge({"b"}, 25'000);
  Judge({}, 26'000);
  EXPECT_EQ(trials_.NextExpiry(), now_ + absl::Minutes(10));
  now_ += absl::Minutes(10);
  trials_.Expire(now_);
  Judge({"b"}, 28'000);
  EXPECT_TRUE(trials_.LeavesOut("b"));
}

TEST_F(HostTrialsTest, StepsForSeveralTextsDecideATrialThatTheyBegan) {
  Judge({"b"}, 25'000, 4);
  EXPECT_TRUE(trials_.LeavesOut("b"));
  Judge({}, 21'000, 4);
  EXPECT_THAT(
      trials_.Reasons(),
      ElementsAre(HasSubstr("with it a step for 4 texts took 25.00 ms, without it it takes 21.00 ms")));
}

TEST_F(HostTrialsTest, StepsOfOtherRowsDecideNothing) {
  Judge({"b"}, 25'000, 4);
  Judge({}, 5'000, 1);  // of course
  Judge({}, 90'000, 8);
  EXPECT_THAT(trials_.Reasons(), ElementsAre(HasSubstr("on trial")));
  Judge({}, 26'000, 4);
  EXPECT_FALSE(trials_.LeavesOut("b")) << "it helps";
}

TEST_F(HostTrialsTest, TrialWithoutStepsLikeThoseBeforeEndsByItself) {
  Judge({"b"}, 25'000, 4);
  now_ += absl::Minutes(10);
  trials_.Expire(now_);
  EXPECT_FALSE(trials_.LeavesOut("b"));
}

TEST_F(HostTrialsTest, PlanLookedAtInVainIsLookedAtForOtherStepsToo) {
  Judge({"b"}, 20'500, 1);
  Judge({"b"}, 20'500, 4);
  EXPECT_EQ(asked_, 2);
}

// A host that costs 5 ms more than it saves, whatever its plan expects, for an hour.
TEST_F(HostTrialsTest, HostThatNeverPaysIsTriedEverMoreRarely) {
  for (int second = 0; second < 3600; ++second) {
    now_ += absl::Seconds(1);
    trials_.Expire(now_);
    const bool uses_b = !trials_.LeavesOut("b");
    Judge(uses_b ? HostTrials::Hosts{"b"} : HostTrials::Hosts{}, uses_b ? 26'000 : 21'000);
  }
  EXPECT_LE(trials_.version(), 22u);
}

}  // namespace
}  // namespace hearth
