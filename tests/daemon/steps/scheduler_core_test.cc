#include "daemon/steps/scheduler_core.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using Batch = SchedulerCore::Batch;

constexpr absl::Duration kFast = absl::Milliseconds(1);

absl::Time At(int64_t ms) { return absl::FromUnixMillis(ms); }

SchedulerLimits Limits(uint32_t slots, uint32_t queue = 100) {
  SchedulerLimits limits;
  limits.slots = slots;
  limits.queue = queue;
  return limits;
}

SchedulerCore::Request Request(RequestId id, uint32_t prompt_tokens, uint32_t max_tokens = 4) {
  SchedulerCore::Request request;
  request.id = id;
  for (uint32_t i = 0; i < prompt_tokens; ++i) request.prompt.push_back(static_cast<TokenId>(i));
  request.max_tokens = max_tokens;
  return request;
}

uint32_t RowsOfSlot(const Batch& step, uint32_t slot) {
  return static_cast<uint32_t>(std::count_if(step.rows.begin(), step.rows.end(),
                                             [&](const BatchRow& row) { return row.sequence == slot; }));
}

std::vector<RequestId> AdmittedIds(const Batch& step) {
  std::vector<RequestId> ids;
  for (const auto& admitted : step.admitted) ids.push_back(admitted.id);
  return ids;
}

std::vector<RequestId> SampledIds(const Batch& step) {
  std::vector<RequestId> ids;
  for (const auto& sampled : step.sampled) ids.push_back(sampled.id);
  return ids;
}

// One whole step: everyone sampled gets token 7. Returns a copy, as Accept and End follow.
Batch RunStep(SchedulerCore& core, absl::Time now = At(0), absl::Duration took = kFast) {
  const Batch step = core.Next(now);
  core.Complete(took);
  for (const RequestId id : SampledIds(step)) {
    SchedulerCore::After after = core.Accept(id, 7);
    while (after == SchedulerCore::After::kNextRow) after = core.Accept(id, 7);
    if (after == SchedulerCore::After::kEnds) core.End(id);
  }
  return step;
}

TEST(SchedulerCoreTest, NothingToDoGivesAnEmptyStep) {
  SchedulerCore core(Limits(2));
  EXPECT_THAT(core.Next(At(0)).rows, IsEmpty());
  EXPECT_EQ(core.NextEvent(At(0)), absl::InfiniteFuture());
}

TEST(SchedulerCoreTest, WholeShortPromptGoesIntoOneStepAndGivesLogitsOfItsLastToken) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Request(1, 3)).ok());
  const Batch step = core.Next(At(0));
  ASSERT_THAT(step.rows, SizeIs(3));
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(step.rows[i].position, i);
    EXPECT_EQ(step.rows[i].token, static_cast<TokenId>(i));
    EXPECT_EQ(step.rows[i].want_logits, i == 2);
    EXPECT_TRUE(step.rows[i].prompt);
  }
  EXPECT_THAT(SampledIds(step), ElementsAre(1));
}

TEST(SchedulerCoreTest, GeneratedTokenIsTheNextStepsRow) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 3)).ok());
  RunStep(core);
  const Batch step = core.Next(At(0));
  ASSERT_THAT(step.rows, SizeIs(1));
  EXPECT_EQ(step.rows[0].position, 3u);
  EXPECT_EQ(step.rows[0].token, 7);
  EXPECT_TRUE(step.rows[0].want_logits);
  EXPECT_FALSE(step.rows[0].prompt);
}

TEST(SchedulerCoreTest, MaxTokensEndTheRequestWithoutEvaluatingTheLastOne) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 1, 2)).ok());
  RunStep(core);
  EXPECT_EQ(core.running(), 1u);
  RunStep(core);
  EXPECT_EQ(core.running(), 0u);
  EXPECT_THAT(core.Next(At(0)).rows, IsEmpty());
}

TEST(SchedulerCoreTest, FreeSlotsGoToTheLongestWaiting) {
  SchedulerCore core(Limits(2));
  for (RequestId id = 1; id <= 3; ++id) ASSERT_TRUE(core.Submit(Request(id, 1, 1)).ok());
  EXPECT_THAT(AdmittedIds(RunStep(core)), ElementsAre(1, 2));
  EXPECT_THAT(AdmittedIds(RunStep(core)), ElementsAre(3));
}

TEST(SchedulerCoreTest, FullQueueRefusesAndSaysWhatToDo) {
  SchedulerCore core(Limits(1, 2));
  ASSERT_TRUE(core.Submit(Request(1, 1)).ok());
  ASSERT_TRUE(core.Submit(Request(2, 1)).ok());
  const absl::Status refused = core.Submit(Request(3, 1));
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("--queue"));
  RunStep(core);  // 1 leaves the queue
  EXPECT_TRUE(core.Submit(Request(3, 1)).ok());
}

TEST(SchedulerCoreTest, GeneratingSequencesHaveARowInEveryStepOfALongPrompt) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Request(1, 1, 1000)).ok());
  RunStep(core);
  ASSERT_TRUE(core.Submit(Request(2, 2000, 1)).ok());
  int steps = 0;
  while (core.running() == 2 || steps == 0) {
    const Batch step = RunStep(core);
    ++steps;
    EXPECT_EQ(RowsOfSlot(step, 0), 1u);
    EXPECT_LE(step.rows.size(), 512u);
  }
  EXPECT_GE(steps, 2000 / 512);
}

TEST(SchedulerCoreTest, ShortPromptDoesNotWaitForALongOne) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Request(1, 4000)).ok());
  RunStep(core);
  ASSERT_TRUE(core.Submit(Request(2, 10)).ok());
  EXPECT_THAT(SampledIds(RunStep(core)), ElementsAre(2));
}

TEST(SchedulerCoreTest, WhatAShortPromptLeavesOverGoesToTheLongOne) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Request(1, 4000)).ok());
  ASSERT_TRUE(core.Submit(Request(2, 4)).ok());
  const Batch step = core.Next(At(0));
  EXPECT_EQ(RowsOfSlot(step, 0), Limits(2).fewest_rows_alone - 4);
  EXPECT_EQ(RowsOfSlot(step, 1), 4u);
}

TEST(SchedulerCoreTest, MorePromptsThanRowsAreServedInTurn) {
  SchedulerLimits limits = Limits(8);
  limits.max_rows = 2;
  SchedulerCore core(limits);
  for (RequestId id = 1; id <= 8; ++id) ASSERT_TRUE(core.Submit(Request(id, 100)).ok());
  std::map<uint32_t, uint32_t> rows;
  for (int i = 0; i < 8; ++i) {
    for (const BatchRow& row : RunStep(core).rows) ++rows[row.sequence];
  }
  EXPECT_THAT(rows, SizeIs(8));
  for (const auto& [slot, count] : rows) EXPECT_EQ(count, 2u) << "slot " << slot;
}

TEST(SchedulerCoreTest, MoreGeneratingSequencesThanRowsAreServedInTurn) {
  SchedulerLimits limits = Limits(6);
  limits.max_rows = 2;
  SchedulerCore core(limits);
  for (RequestId id = 1; id <= 6; ++id) ASSERT_TRUE(core.Submit(Request(id, 1, 100)).ok());
  std::map<uint32_t, uint32_t> rows;
  for (int i = 0; i < 6; ++i) {
    const Batch step = RunStep(core);
    EXPECT_THAT(step.rows, SizeIs(2));
    for (const BatchRow& row : step.rows) ++rows[row.sequence];
  }
  for (uint32_t slot = 0; slot < 6; ++slot) EXPECT_EQ(rows[slot], 2u) << "slot " << slot;
}

TEST(SchedulerCoreTest, APromptGetsARowEvenWhenGeneratingSequencesFillTheStep) {
  SchedulerLimits limits = Limits(3);
  limits.max_rows = 2;
  SchedulerCore core(limits);
  ASSERT_TRUE(core.Submit(Request(1, 1, 100)).ok());
  ASSERT_TRUE(core.Submit(Request(2, 1, 100)).ok());
  RunStep(core);
  ASSERT_TRUE(core.Submit(Request(3, 50, 100)).ok());
  EXPECT_EQ(RowsOfSlot(RunStep(core), 2), 1u);
}

TEST(SchedulerCoreTest, CancelInTheMiddleOfAPromptFreesTheSlotWithTheNextStep) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 4000)).ok());
  ASSERT_TRUE(core.Submit(Request(2, 1)).ok());
  RunStep(core);
  core.Cancel(1);
  const Batch step = core.Next(At(0));
  ASSERT_THAT(step.ended, SizeIs(1));
  EXPECT_EQ(step.ended[0].id, 1u);
  EXPECT_EQ(step.ended[0].reason, EndReason::kCancelled);
  EXPECT_THAT(AdmittedIds(step), ElementsAre(2));
  EXPECT_EQ(step.admitted[0].slot, 0u);
}

TEST(SchedulerCoreTest, CancelBetweenStepAndTokenKeepsTheRequestUntilTheNextStep) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 1)).ok());
  core.Next(At(0));
  core.Cancel(1);
  core.Complete(kFast);
  EXPECT_EQ(core.Accept(1, 7), SchedulerCore::After::kGoesOn);
  EXPECT_THAT(core.Next(At(0)).ended, SizeIs(1));
}

TEST(SchedulerCoreTest, CancelWhileWaitingNeedsNoSlot) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 1)).ok());
  ASSERT_TRUE(core.Submit(Request(2, 1)).ok());
  RunStep(core);
  core.Cancel(2);
  EXPECT_EQ(core.NextEvent(At(5)), At(5));
  EXPECT_THAT(core.Next(At(5)).ended, SizeIs(1));
  EXPECT_EQ(core.waiting(), 0u);
}

TEST(SchedulerCoreTest, CancelOfAnUnknownRequestIsIgnored) {
  SchedulerCore core(Limits(1));
  core.Cancel(99);
  EXPECT_THAT(core.Next(At(0)).ended, IsEmpty());
}

TEST(SchedulerCoreTest, DeadlineEndsRunningAndWaitingRequests) {
  SchedulerCore core(Limits(1));
  for (RequestId id : {1, 2}) {
    auto request = Request(id, 4000);
    request.deadline = At(100);
    ASSERT_TRUE(core.Submit(std::move(request)).ok());
  }
  EXPECT_THAT(core.Next(At(99)).ended, IsEmpty());
  const Batch& step = core.Next(At(100));
  ASSERT_THAT(step.ended, SizeIs(2));
  for (const auto& ended : step.ended) EXPECT_EQ(ended.reason, EndReason::kDeadline);
  EXPECT_EQ(core.running() + core.waiting(), 0u);
}

TEST(SchedulerCoreTest, BlockedSequenceIsLeftOutAndGoesOnWhereItWas) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Request(1, 1, 100)).ok());
  ASSERT_TRUE(core.Submit(Request(2, 1, 100)).ok());
  RunStep(core);
  core.SetBlocked(1, true, At(0));
  EXPECT_THAT(SampledIds(RunStep(core)), ElementsAre(2));
  core.SetBlocked(1, false, At(1));
  EXPECT_THAT(SampledIds(RunStep(core)), testing::UnorderedElementsAre(1, 2));
}

TEST(SchedulerCoreTest, SequenceBlockedForTooLongLosesItsSlot) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 1, 100)).ok());
  RunStep(core);
  core.SetBlocked(1, true, At(1000));
  core.SetBlocked(1, true, At(20000));  // the first time counts
  EXPECT_EQ(core.NextEvent(At(2000)), At(31000));
  EXPECT_THAT(core.Next(At(30999)).ended, IsEmpty());
  const Batch& step = core.Next(At(31000));
  ASSERT_THAT(step.ended, SizeIs(1));
  EXPECT_EQ(step.ended[0].reason, EndReason::kSlowReader);
}

TEST(SchedulerCoreTest, BlockedSequenceKeepsItsSlotWhileNobodyWaits) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Request(1, 1, 100)).ok());
  RunStep(core);
  core.SetBlocked(1, true, At(0));
  EXPECT_EQ(core.NextEvent(At(5000)), At(30000));  // when it will have been blocked for too long
  RunStep(core, At(5000));
  EXPECT_EQ(core.running(), 1u);
}

// One slot, with a blocked request in it; another one waits.
class ParkingTest : public testing::Test {
 protected:
  ParkingTest() {
    EXPECT_TRUE(core_.Submit(Request(1, 3, 100)).ok());
    RunStep(core_);
    RunStep(core_);  // 5 tokens, 4 of them evaluated
    core_.SetBlocked(1, true, At(1000));
    EXPECT_TRUE(core_.Submit(Request(2, 1, 100)).ok());
  }

  SchedulerCore core_{Limits(1)};
};

TEST_F(ParkingTest, BlockedSequenceGivesItsSlotToWhoWaitsWithinASecond) {
  EXPECT_THAT(AdmittedIds(RunStep(core_, At(1001))), IsEmpty());
  const absl::Time when = core_.NextEvent(At(1001));
  EXPECT_LE(when, At(2000));
  const Batch batch = RunStep(core_, when);
  EXPECT_THAT(SampledIds(batch), ElementsAre(2));
  ASSERT_THAT(batch.admitted, SizeIs(1));
  EXPECT_FALSE(batch.admitted[0].resumed);
  EXPECT_EQ(core_.waiting(), 1u);
}

TEST(SchedulerCoreTest, TwoBlockedSequencesBothGiveTheirSlotsWithinASecond) {
  SchedulerCore core(Limits(2));
  for (RequestId id : {1, 2}) ASSERT_TRUE(core.Submit(Request(id, 1, 100)).ok());
  RunStep(core);
  for (RequestId id : {1, 2}) core.SetBlocked(id, true, At(1000));
  for (RequestId id : {3, 4}) ASSERT_TRUE(core.Submit(Request(id, 1, 100)).ok());
  EXPECT_THAT(AdmittedIds(RunStep(core, At(2000))), UnorderedElementsAre(3, 4));
}

TEST_F(ParkingTest, ParkedRequestIsFirstInLineAndReadsWhatItsSlotHoldsNoMore) {
  RunStep(core_, At(2000));
  ASSERT_TRUE(core_.Submit(Request(3, 1)).ok());
  core_.SetBlocked(1, false, At(2500));
  core_.End(2);
  const Batch batch = RunStep(core_, At(2500));
  ASSERT_THAT(batch.admitted, SizeIs(1));
  EXPECT_EQ(batch.admitted[0].id, 1u);
  EXPECT_TRUE(batch.admitted[0].resumed);
  EXPECT_EQ(batch.admitted[0].kept, 1u);  // the other one began alike
  ASSERT_THAT(batch.rows, SizeIs(4));
  EXPECT_EQ(batch.rows[0].position, 1u);
  EXPECT_EQ(batch.rows[3].token, 7);  // generated before
  EXPECT_THAT(SampledIds(batch), ElementsAre(1));
}

TEST_F(ParkingTest, ParkedRequestThatIsUnblockedTakesTheSlotOfABlockedOne) {
  RunStep(core_, At(2000));
  core_.SetBlocked(2, true, At(2000));
  EXPECT_EQ(core_.NextEvent(At(2000)), At(31000));  // nobody could use the slot
  core_.SetBlocked(1, false, At(2100));
  const absl::Time when = core_.NextEvent(At(2100));
  EXPECT_LE(when, At(3000));
  EXPECT_THAT(AdmittedIds(RunStep(core_, when)), ElementsAre(1));
}

TEST_F(ParkingTest, ParkedRequestEndsLikeOthers) {
  RunStep(core_, At(2000));
  core_.Cancel(1);
  EXPECT_EQ(core_.NextEvent(At(2001)), At(2001));
  ASSERT_THAT(core_.Next(At(2001)).ended, SizeIs(1));
  EXPECT_EQ(core_.waiting(), 0u);
}

TEST_F(ParkingTest, ParkedRequestBlockedForTooLongEnds) {
  RunStep(core_, At(2000));
  EXPECT_THAT(core_.Next(At(30999)).ended, IsEmpty());
  ASSERT_THAT(core_.Next(At(31000)).ended, SizeIs(1));
}

TEST_F(ParkingTest, EndAllEndsParkedRequestsToo) {
  RunStep(core_, At(2000));
  EXPECT_THAT(core_.EndAll(), testing::UnorderedElementsAre(1, 2));
  EXPECT_EQ(core_.waiting() + core_.running(), 0u);
}

TEST(SchedulerCoreTest, NoMoreRequestsAreParkedThanMayWait) {
  SchedulerCore core(Limits(1, 1));
  for (RequestId id = 1; id <= 3; ++id) {
    ASSERT_TRUE(core.Submit(Request(id, 1, 100)).ok());
    core.SetBlocked(id - 1, true, At(0));
    RunStep(core, At(1000));
  }
  EXPECT_EQ(core.running(), 1u);  // 2: 1 is parked, 3 waits
  EXPECT_EQ(core.waiting(), 2u);
  EXPECT_THAT(core.Next(At(2000)).admitted, IsEmpty());
}

TEST(SchedulerCoreTest, LostPositionsAreEvaluatedAgainAndNotChosenAgain) {
  SchedulerLimits limits = Limits(2);
  limits.max_rows = 3;
  SchedulerCore core(limits);
  ASSERT_TRUE(core.Submit(Request(1, 2, 100)).ok());
  for (int i = 0; i < 4; ++i) RunStep(core);  // 6 tokens, 5 of them evaluated
  core.Recompute(0, 1);
  const Batch first = RunStep(core);
  ASSERT_THAT(first.rows, SizeIs(3));
  EXPECT_EQ(first.rows[0].position, 1u);
  EXPECT_EQ(first.rows[0].token, 1);
  EXPECT_EQ(first.rows[1].token, 7);
  EXPECT_THAT(SampledIds(first), IsEmpty());
  const Batch second = RunStep(core);
  ASSERT_THAT(second.rows, SizeIs(2));
  EXPECT_EQ(second.rows[1].position, 5u);
  EXPECT_THAT(SampledIds(second), ElementsAre(1));
}

TEST(SchedulerCoreTest, RecomputeOfWhatIsNotThereIsIgnored) {
  SchedulerCore core(Limits(2));
  core.Recompute(1, 0);
  ASSERT_TRUE(core.Submit(Request(1, 2, 100)).ok());
  RunStep(core);
  core.Recompute(0, 1000);  // what a former request has left there
  EXPECT_EQ(core.Next(At(0)).rows[0].position, 2u);
}

TEST(SchedulerCoreTest, ExpireEndsWhoseTimeIsOverAndGivesNoSlots) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Request(1, 1, 100)).ok());
  RunStep(core);
  auto request = Request(2, 1);
  request.deadline = At(100);
  ASSERT_TRUE(core.Submit(std::move(request)).ok());
  ASSERT_TRUE(core.Submit(Request(3, 1)).ok());
  core.Cancel(1);
  const Batch batch = core.Expire(At(100));
  EXPECT_THAT(batch.ended, SizeIs(2));
  EXPECT_THAT(batch.admitted, IsEmpty());
  EXPECT_THAT(batch.rows, IsEmpty());
  EXPECT_EQ(core.running(), 0u);
  EXPECT_EQ(core.waiting(), 1u);
}

TEST(SchedulerCoreTest, FailedBatchEndsOnlyWhoWasInIt) {
  SchedulerCore core(Limits(2));
  for (RequestId id = 1; id <= 3; ++id) ASSERT_TRUE(core.Submit(Request(id, 1, 100)).ok());
  RunStep(core);
  core.SetBlocked(1, true, At(0));
  core.Next(At(0));
  EXPECT_THAT(core.FailBatch(), ElementsAre(2));
  EXPECT_EQ(core.running(), 1u);
  EXPECT_THAT(AdmittedIds(core.Next(At(0))), ElementsAre(3));
}

TEST(SchedulerCoreTest, StepThatWasNotEvaluatedIsPlannedAnew) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 5)).ok());
  const Batch first = core.Next(At(0));
  const Batch second = core.Next(At(1));
  EXPECT_EQ(first.rows.size(), second.rows.size());
  EXPECT_EQ(second.rows[0].position, 0u);
}

// A machine on which a step takes 50 ms and 1 ms more for each prompt row.
absl::Duration Takes(const Batch& step) {
  const auto prompt_rows =
      std::count_if(step.rows.begin(), step.rows.end(), [](const BatchRow& row) { return row.prompt; });
  return absl::Milliseconds(50 + prompt_rows);
}

TEST(SchedulerCoreTest, PromptIsReadInWholeStepsWhileNobodyGenerates) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 10000)).ok());
  RunStep(core, At(0), Takes(core.Next(At(0))));
  EXPECT_THAT(RunStep(core, At(0), absl::Milliseconds(562)).rows, SizeIs(512));
}

TEST(SchedulerCoreTest, PromptsOfASlowMachineComeInStepsThatCanBeCancelled) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 10000)).ok());
  RunStep(core, At(0), absl::Milliseconds(1280));  // 20 ms for each of 64 rows
  const size_t rows = RunStep(core, At(0)).rows.size();
  EXPECT_GE(rows, 70u);
  EXPECT_LE(rows, 100u);
}

TEST(SchedulerCoreTest, ThoseWhoGenerateWaitAtMostTheConfiguredTime) {
  SchedulerLimits limits = Limits(2);
  limits.token_wait = absl::Milliseconds(200);
  SchedulerCore core(limits);
  ASSERT_TRUE(core.Submit(Request(1, 1, 1000)).ok());
  for (int i = 0; i < 3; ++i) RunStep(core, At(0), absl::Milliseconds(50));
  ASSERT_TRUE(core.Submit(Request(2, 2000)).ok());
  int steps = 0;
  for (bool reading = true; reading; ++steps) {
    const Batch planned = core.Next(At(0));
    EXPECT_EQ(RowsOfSlot(planned, 0), 1u);
    EXPECT_LE(Takes(planned), limits.token_wait);
    reading = RowsOfSlot(planned, 1) > 0 && planned.sampled.size() < 2;
    RunStep(core, At(0), Takes(planned));
  }
  EXPECT_LE(steps, 22);  // of 100 rows or more
}

TEST(SchedulerCoreTest, StepsThatTakeLongerAnywayHaveTheFewestPromptRows) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Request(1, 1, 1000)).ok());
  for (int i = 0; i < 3; ++i) RunStep(core, At(0), absl::Seconds(1));
  ASSERT_TRUE(core.Submit(Request(2, 2000)).ok());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(RowsOfSlot(RunStep(core, At(0), absl::Seconds(1)), 1), 8u);
}

// Plays the decoder and checks what it is owed: rows of a sequence without gaps, from the front of a fresh
// slot on.
class StrictDecoder {
 public:
  void Check(const Batch& step, const SchedulerLimits& limits) {
    for (const SchedulerCore::Admitted& admitted : step.admitted) {
      ASSERT_LE(admitted.kept, length_[admitted.slot]);
    }
    ASSERT_LE(step.rows.size(), limits.max_rows);
    std::map<uint32_t, uint32_t> next;
    size_t logits = 0;
    for (const BatchRow& row : step.rows) {
      ASSERT_LT(row.sequence, limits.slots);
      if (!next.contains(row.sequence)) {
        ASSERT_LE(row.position, length_[row.sequence]);
        next[row.sequence] = row.position;
      }
      ASSERT_EQ(row.position, next[row.sequence]++);
      logits += row.want_logits;
    }
    for (const auto& [slot, length] : next) length_[slot] = length;
    for (const SchedulerCore::Sampled& sampled : step.sampled) logits -= sampled.rows;
    ASSERT_EQ(logits, 0u);
  }

 private:
  std::map<uint32_t, uint32_t> length_;
};

TEST(SchedulerCoreTest, TwoHundredStreamsAndFiveHundredCancelledOnesFreeEverySlot) {
  const SchedulerLimits limits = Limits(8, 1000);
  SchedulerCore core(limits);
  StrictDecoder decoder;
  std::mt19937 random(1);
  std::set<RequestId> open;
  std::vector<RequestId> to_cancel;
  for (RequestId id = 1; id <= 700; ++id) {
    ASSERT_TRUE(core.Submit(Request(id, 1 + random() % 300, 1 + random() % 40)).ok());
    open.insert(id);
    if (id > 200) to_cancel.push_back(id);
  }
  std::shuffle(to_cancel.begin(), to_cancel.end(), random);
  std::map<RequestId, int> cancelled;
  for (int steps = 0; !open.empty(); ++steps) {
    ASSERT_LT(steps, 100000) << open.size() << " requests never end";
    for (int i = 0; i < 3 && !to_cancel.empty(); ++i, to_cancel.pop_back()) core.Cancel(to_cancel.back());
    const Batch step = core.Next(At(0));
    decoder.Check(step, limits);
    ASSERT_FALSE(HasFatalFailure());
    core.Complete(kFast);
    for (const auto& [id, reason] : step.ended) {
      EXPECT_EQ(reason, EndReason::kCancelled);
      EXPECT_GT(id, 200u);
      EXPECT_EQ(open.erase(id), 1u);
    }
    for (const RequestId id : SampledIds(step)) {
      if (core.Accept(id, 7) != SchedulerCore::After::kEnds) continue;
      core.End(id);
      EXPECT_EQ(open.erase(id), 1u);
    }
  }
  EXPECT_EQ(core.running(), 0u);
  EXPECT_EQ(core.waiting(), 0u);
  EXPECT_EQ(core.NextEvent(At(0)), absl::InfiniteFuture());
}

// ---- What free slots still hold.

SchedulerCore::Request Chat(RequestId id, std::vector<TokenId> prompt, uint32_t max_tokens = 4) {
  SchedulerCore::Request request;
  request.id = id;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

TEST(SchedulerCoreTest, NextTurnOfAChatReadsOnlyWhatIsNew) {
  SchedulerCore core(Limits(2));
  core.SetReuse({.rows_alike = true});
  ASSERT_TRUE(core.Submit(Chat(1, {1, 2, 3}, 2)).ok());
  RunStep(core);
  RunStep(core);  // two tokens of 7, of which the first is evaluated
  ASSERT_TRUE(core.Submit(Chat(2, {1, 2, 3, 7, 7, 4}, 1)).ok());
  const Batch step = RunStep(core);
  ASSERT_THAT(step.admitted, SizeIs(1));
  EXPECT_EQ(step.admitted[0].kept, 4u);
  ASSERT_THAT(step.rows, SizeIs(2));
  EXPECT_EQ(step.rows[0].position, 4u);
  EXPECT_TRUE(step.rows[1].want_logits);
}

TEST(SchedulerCoreTest, CancelledPromptServesTheNextOneAsFarAsItWasRead) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 300)).ok());
  const auto read = static_cast<uint32_t>(RunStep(core).rows.size());
  core.Cancel(1);
  ASSERT_TRUE(core.Submit(Request(2, 300)).ok());
  const Batch step = RunStep(core);
  ASSERT_THAT(step.admitted, SizeIs(1));
  EXPECT_EQ(step.admitted[0].kept, read);
}

TEST(SchedulerCoreTest, WhatTheDecoderHasLostOfAFreeSlotIsReadAgain) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 10, 1)).ok());
  RunStep(core);
  core.Recompute(0, 6);
  ASSERT_TRUE(core.Submit(Request(2, 12, 1)).ok());
  EXPECT_EQ(core.Next(At(0)).admitted[0].kept, 6u);
}

TEST(SchedulerCoreTest, DiscardedSequenceServesNobody) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 10)).ok());
  RunStep(core);
  core.Discard(1);
  EXPECT_EQ(core.running(), 0u);
  ASSERT_TRUE(core.Submit(Request(2, 12, 1)).ok());
  EXPECT_EQ(core.Next(At(0)).admitted[0].kept, 0u);
}

// A model whose next token follows from all that its cache holds of a sequence, of which it learns by rows
// alone: a position that is kept wrongly changes the text after it.
class HashingModel {
 public:
  // `alike`: it computes generated tokens as a prompt's.
  HashingModel(uint32_t slots, bool alike) : alike_(alike), slots_(slots) {}

  // Returns the tokens for those who are sampled.
  std::vector<TokenId> Compute(const Batch& step) {
    std::vector<TokenId> chosen;
    std::optional<uint32_t> last;
    for (const BatchRow& row : step.rows) {
      Cached& cached = slots_[row.sequence];
      if (last != row.sequence) Lose(row.sequence, row.position);
      last = row.sequence;
      EXPECT_EQ(row.position, cached.size());
      cached.emplace_back(row.token, row.prompt || alike_);
      if (row.want_logits) chosen.push_back(Next(cached));
    }
    return chosen;
  }
  void Lose(uint32_t slot, size_t kept) { slots_[slot].resize(std::min(kept, slots_[slot].size())); }
  uint32_t Length(uint32_t slot) const { return static_cast<uint32_t>(slots_[slot].size()); }

  // What follows a prompt in a model that computes nothing else.
  std::vector<TokenId> TextOf(const std::vector<TokenId>& prompt, size_t tokens) const {
    Cached cached;
    for (const TokenId token : prompt) cached.emplace_back(token, true);
    std::vector<TokenId> text;
    while (text.size() < tokens) {
      text.push_back(Next(cached));
      cached.emplace_back(text.back(), alike_);
    }
    return text;
  }

 private:
  using Cached = std::vector<std::pair<TokenId, bool>>;

  static TokenId Next(const Cached& cached) {
    uint64_t hash = 17;
    for (const auto& [token, prompt] : cached)
      hash = hash * 1000003 + static_cast<uint64_t>(2 * token + prompt);
    return static_cast<TokenId>((hash >> 20) % 5);
  }

  const bool alike_;
  std::vector<Cached> slots_;
};

// Chats of several turns and few words, so that many begin alike: in steps, with cancels and with losses of
// what the decoder holds, all drawn from the seed.
class RandomChats {
 public:
  RandomChats(uint32_t seed, ReuseRules rules)
      : random_(seed),
        limits_(Limits(3, 1000)),
        core_(SmallSteps()),
        model_(3, rules.rows_alike),
        rules_(rules) {
    core_.SetReuse(rules);
  }

  void Run() {
    for (RequestId id = 1; id <= 60; ++id) {
      Submit(id);
      for (uint64_t steps = Draw(5); steps > 0; --steps) Step();
      if (Draw(6) == 0) core_.Cancel(1 + Draw(id));
      if (const auto slot = static_cast<uint32_t>(Draw(12)); slot < 3) Lose(slot);
    }
    while (core_.running() + core_.waiting() > 0) Step();
  }
  uint64_t kept() const { return kept_; }
  uint64_t guessed_right() const { return core_.drafted().right; }

 private:
  struct Asked {
    std::vector<TokenId> prompt;
    std::vector<TokenId> text;
    uint32_t tokens;
    bool finished = false;
  };

  SchedulerLimits SmallSteps() {
    limits_.max_rows = 6;
    return limits_;
  }
  uint64_t Draw(uint64_t below) { return random_() % below; }

  void Submit(RequestId id) {
    Asked& asked = asked_[id];
    asked.tokens = static_cast<uint32_t>(1 + Draw(9));
    if (const Asked& former = asked_[1 + Draw(id)]; former.finished) {
      asked.prompt = former.prompt;
      asked.prompt.insert(asked.prompt.end(), former.text.begin(), former.text.end());
    }
    for (uint64_t words = 1 + Draw(8); words > 0; --words) {
      asked.prompt.push_back(static_cast<TokenId>(Draw(2)));
    }
    ASSERT_TRUE(core_.Submit(Chat(id, asked.prompt, asked.tokens)).ok());
  }

  void Step() {
    const Batch step = core_.Next(At(0));
    for (const auto& admitted : step.admitted) {
      kept_ += admitted.kept;
      if (!rules_.can_cut) {
        EXPECT_THAT(admitted.kept, testing::AnyOf(0u, model_.Length(admitted.slot)));
      }
    }
    const std::vector<TokenId> chosen = model_.Compute(step);
    core_.Complete(kFast);
    size_t first = 0;
    for (const auto& [id, rows] : step.sampled) {
      for (size_t row = 0; row < rows && Accept(id, chosen[first + row]); ++row) continue;
      first += rows;
    }
    EXPECT_EQ(first, chosen.size());
  }

  // Whether its next row gives a token too.
  bool Accept(RequestId id, TokenId token) {
    Asked& asked = asked_[id];
    asked.text.push_back(token);
    const SchedulerCore::After after = core_.Accept(id, token);
    if (after != SchedulerCore::After::kEnds) return after == SchedulerCore::After::kNextRow;
    core_.End(id);
    asked.finished = true;
    EXPECT_EQ(asked.text, model_.TextOf(asked.prompt, asked.tokens)) << "request " << id;
    return false;
  }

  // A model with recurrent state loses all or nothing.
  void Lose(uint32_t slot) {
    model_.Lose(slot, rules_.can_cut ? Draw(20) : 0);
    for (uint32_t any = 0; any < 3; ++any) core_.Recompute(any, model_.Length(any));
  }

  std::mt19937 random_;
  SchedulerLimits limits_;
  SchedulerCore core_;
  HashingModel model_;
  ReuseRules rules_;
  std::map<RequestId, Asked> asked_;
  uint64_t kept_ = 0;
};

TEST(SchedulerCoreTest, TextsAreThoseOfPromptsReadFromTheirStartInFiveHundredRandomSchedules) {
  for (const ReuseRules rules : {ReuseRules{true, true, false},
                                 {false, true, false},
                                 {true, false, true},
                                 {false, false, false},
                                 {true, true, true},
                                 {false, true, true}}) {
    uint64_t kept = 0, guessed_right = 0;
    for (uint32_t seed = 0; seed < 500; ++seed) {
      RandomChats chats(seed, rules);
      chats.Run();
      ASSERT_FALSE(testing::Test::HasFailure())
          << "seed " << seed << " alike " << rules.rows_alike << " can cut " << rules.can_cut
          << " independent " << rules.rows_independent;
      kept += chats.kept();
      guessed_right += chats.guessed_right();
    }
    EXPECT_GT(kept, 1000u);  // else nothing was tried
    EXPECT_EQ(guessed_right > 1000, rules.can_cut && rules.rows_independent) << guessed_right;
  }
}

// ---- Guessed tokens.

// One sequence that has said 1 2 3 4 5 6 twice and goes on to say it again.
class DraftTest : public testing::Test {
 protected:
  DraftTest() {
    core_.SetReuse({.rows_alike = true, .can_cut = true, .rows_independent = true});
    EXPECT_TRUE(core_.Submit(Chat(1, {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1}, 100)).ok());
    Take(core_.Next(At(0)), {2});  // the prompt
  }

  // The step took a millisecond, and its rows of logits gave these tokens.
  void Take(const Batch& step, const std::vector<TokenId>& tokens) {
    ASSERT_EQ(step.sampled.size(), 1u);
    ASSERT_EQ(step.sampled[0].rows, tokens.size());
    core_.Complete(kFast);
    after_ = SchedulerCore::After::kNextRow;
    for (size_t i = 0; i < tokens.size() && after_ == SchedulerCore::After::kNextRow; ++i) {
      after_ = core_.Accept(1, tokens[i]);
    }
  }
  static std::vector<TokenId> Tokens(const Batch& step) {
    std::vector<TokenId> tokens;
    for (const BatchRow& row : step.rows) tokens.push_back(row.token);
    return tokens;
  }

  SchedulerCore core_{Limits(2)};
  SchedulerCore::After after_ = SchedulerCore::After::kGoesOn;
};

TEST_F(DraftTest, NothingIsGuessedBeforeItIsKnownWhatAStepTakes) {
  EXPECT_THAT(Tokens(core_.Next(At(0))), ElementsAre(2));
}

TEST_F(DraftTest, RepeatedTextIsComputedAheadAndItsTokensAreTaken) {
  Take(core_.Next(At(0)), {3});
  const Batch step = core_.Next(At(0));
  EXPECT_THAT(Tokens(step), ElementsAre(3, 4, 5, 6, 1, 2, 3, 4, 5));
  for (const BatchRow& row : step.rows) EXPECT_TRUE(row.want_logits && !row.prompt);
  Take(step, {4, 5, 6, 1, 2, 3, 4, 5, 6});
  EXPECT_EQ(after_, SchedulerCore::After::kGoesOn);
  EXPECT_EQ(core_.drafted().right, 8u);
  EXPECT_THAT(core_.Next(At(0)).rows.front().position, 13u + 2 + 9 - 1);
}

TEST_F(DraftTest, StepGoesOnBehindTheFirstTokenThatWasGuessedWrongly) {
  Take(core_.Next(At(0)), {3});
  const Batch step = core_.Next(At(0));
  ASSERT_THAT(step.rows, SizeIs(9));
  Take(step, {4, 5, 9, 1, 2, 3, 4, 5, 6});  // 9 where 6 was guessed: what follows from 6 is of no use
  EXPECT_EQ(after_, SchedulerCore::After::kGoesOn);
  EXPECT_EQ(core_.drafted().right, 2u);
  const Batch next = core_.Next(At(0));
  EXPECT_EQ(next.rows.front().token, 9);
  EXPECT_EQ(next.rows.front().position, step.rows.front().position + 3);
}

TEST_F(DraftTest, NoMoreIsGuessedThanTheRequestMayHave) {
  SchedulerCore core(Limits(1));
  core.SetReuse({.rows_alike = true, .can_cut = true, .rows_independent = true});
  ASSERT_TRUE(core.Submit(Request(1, 1, 40)).ok());
  uint32_t tokens = 0;
  while (core.running() + core.waiting() > 0) tokens += static_cast<uint32_t>(RunStep(core).rows.size());
  EXPECT_EQ(tokens, 40u);  // the prompt and all but the last one: nothing was guessed in vain
}

TEST_F(DraftTest, NothingIsGuessedWhileAPromptIsRead) {
  Take(core_.Next(At(0)), {3});
  ASSERT_TRUE(core_.Submit(Request(2, 100)).ok());
  EXPECT_EQ(RowsOfSlot(core_.Next(At(0)), 0), 1u);
}

TEST_F(DraftTest, StepThatWasNotEvaluatedIsGuessedAnew) {
  Take(core_.Next(At(0)), {3});
  EXPECT_THAT(core_.Next(At(0)).rows, SizeIs(9));
  EXPECT_THAT(core_.Next(At(1)).rows, SizeIs(9));
  EXPECT_EQ(core_.drafted().tokens, 0u);
}

TEST_F(DraftTest, GuessesThatAreAlwaysWrongEnd) {
  TokenId token = 3;
  size_t rows = 0, steps = 0;
  for (; steps < 200; ++steps) {
    const Batch step = core_.Next(At(0));
    rows += step.rows.size();
    core_.Complete(kFast * static_cast<double>(step.rows.size()));
    // Each second token is 1, and what follows it is new.
    token = token == 1 ? static_cast<TokenId>(100 + steps) : 1;
    if (core_.Accept(1, token) == SchedulerCore::After::kEnds) break;
  }
  EXPECT_LE(rows, steps + 20);
}

TEST_F(DraftTest, NothingIsGuessedForAModelThatCannotGoBack) {
  core_.SetReuse({.rows_alike = true, .can_cut = false, .rows_independent = true});
  Take(core_.Next(At(0)), {3});
  EXPECT_THAT(core_.Next(At(0)).rows, SizeIs(1));
}

// One sequence that says what it has not said before.
class OfferTest : public DraftTest {
 protected:
  OfferTest() {
    core_.End(1);
    EXPECT_TRUE(core_.Submit(Chat(1, {50, 51, 52}, 500)).ok());
    Take(core_.Next(At(0)), {next_++});
    Take(core_.Next(At(0)), {next_++});  // what a step takes is known now
  }
  std::vector<TokenId> Following(size_t count) const {
    std::vector<TokenId> tokens(count);
    for (size_t i = 0; i < count; ++i) tokens[i] = next_ + static_cast<TokenId>(i);
    return tokens;
  }

  TokenId next_ = 100;
};

TEST_F(OfferTest, AnotherModelIsAskedForAsManyTokensAsAreWorthTheirTime) {
  const auto wishes = core_.WantedDrafts();
  ASSERT_THAT(wishes, SizeIs(1));
  EXPECT_EQ(wishes[0].id, 1u);
  EXPECT_EQ(wishes[0].text, (std::vector<TokenId>{50, 51, 52, 100, 101}));
  EXPECT_EQ(wishes[0].tokens, 5u) << "while nothing is known of its time, all that are likely enough";
  core_.NoteDraftToken(kFast / 2);
  ASSERT_THAT(core_.WantedDrafts(), SizeIs(1));
  EXPECT_LT(core_.WantedDrafts()[0].tokens, 4u);
  for (int i = 0; i < 20; ++i) core_.NoteDraftToken(kFast);
  EXPECT_THAT(core_.WantedDrafts(), IsEmpty()) << "it takes as long as the model itself";
}

TEST_F(OfferTest, WhatItOffersIsComputedAheadAndTakenWhereItIsRight) {
  ASSERT_THAT(core_.WantedDrafts(), SizeIs(1));
  core_.Offer(1, Following(3));
  const Batch step = core_.Next(At(0));
  EXPECT_THAT(Tokens(step), ElementsAre(101, 102, 103, 104));
  Take(step, {102, 103, 9, 9});
  EXPECT_EQ(after_, SchedulerCore::After::kGoesOn);
  EXPECT_EQ(core_.drafted().right, 2u);
  EXPECT_THAT(Tokens(core_.Next(At(0))), ElementsAre(9)) << "what was guessed wrongly is not guessed on";
}

TEST_F(OfferTest, OfferThatComesTooLateIsIgnored) {
  ASSERT_THAT(core_.WantedDrafts(), SizeIs(1));
  core_.End(1);
  core_.Offer(1, Following(3));
  EXPECT_THAT(core_.Next(At(0)).rows, IsEmpty());
}

TEST_F(OfferTest, NobodyIsAskedWhileAPromptIsReadOrWaits) {
  ASSERT_TRUE(core_.Submit(Request(2, 100)).ok());
  EXPECT_THAT(core_.WantedDrafts(), IsEmpty());
  core_.Next(At(0));
  EXPECT_THAT(core_.WantedDrafts(), IsEmpty());
}

TEST_F(OfferTest, WhoIsAlwaysWrongIsAskedSeldom) {
  size_t asked = 0;
  for (int i = 0; i < 300; ++i) {
    core_.NoteDraftToken(kFast / 4);
    for (const auto& wish : core_.WantedDrafts()) {
      core_.Offer(wish.id, std::vector<TokenId>(wish.tokens, 7));
      ++asked;
    }
    const Batch step = core_.Next(At(0));
    core_.Complete(kFast);
    ASSERT_EQ(core_.Accept(1, next_++), SchedulerCore::After::kGoesOn);
  }
  EXPECT_GT(asked, 5u);
  EXPECT_LT(asked, 60u);
}

TEST_F(OfferTest, NoMoreIsAskedForThanTheRequestMayHave) {
  SchedulerCore core(Limits(1));
  core.SetReuse({.rows_alike = true, .can_cut = true, .rows_independent = true});
  ASSERT_TRUE(core.Submit(Chat(1, {50, 51, 52}, 4)).ok());
  for (const TokenId token : {100, 101}) {
    core.Next(At(0));
    core.Complete(kFast);
    core.Accept(1, token);
  }
  ASSERT_THAT(core.WantedDrafts(), SizeIs(1));
  EXPECT_EQ(core.WantedDrafts()[0].tokens, 1u);
}

TEST_F(OfferTest, ModelThatCannotGoBackAsksNobody) {
  core_.SetReuse({.rows_alike = true, .can_cut = false, .rows_independent = true});
  EXPECT_THAT(core_.WantedDrafts(), IsEmpty());
}

SchedulerCore::Request Text(RequestId id, uint32_t tokens) {
  SchedulerCore::Request request = Request(id, tokens, 1);
  request.embed = true;
  return request;
}

// One whole step; texts end with their last rows.
Batch RunReading(SchedulerCore& core) {
  const Batch step = core.Next(At(0));
  core.Complete(kFast);
  for (const SchedulerCore::Read& read : step.read) {
    if (read.last) core.End(read.id);
  }
  return step;
}

TEST(SchedulerCoreTest, TextToEmbedWantsTheStateOfEachTokenAndNoLogits) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Text(1, 3)).ok());
  const Batch step = RunReading(core);
  ASSERT_THAT(step.rows, SizeIs(3));
  for (const BatchRow& row : step.rows) EXPECT_TRUE(row.want_state && row.prompt && !row.want_logits);
  EXPECT_THAT(SampledIds(step), IsEmpty());
  ASSERT_THAT(step.read, SizeIs(1));
  EXPECT_EQ(step.read[0].rows, 3u);
  EXPECT_TRUE(step.read[0].last);
  EXPECT_EQ(core.running(), 0u);
}

TEST(SchedulerCoreTest, TextToEmbedIsReadAgainWhateverSlotsHold) {
  SchedulerCore core(Limits(1));
  ASSERT_TRUE(core.Submit(Request(1, 5, 1)).ok());
  RunStep(core);
  ASSERT_TRUE(core.Submit(Text(2, 5)).ok());
  const Batch step = RunReading(core);
  EXPECT_EQ(step.admitted[0].kept, 0u);
  EXPECT_THAT(step.rows, SizeIs(5));
}

TEST(SchedulerCoreTest, TextsToEmbedLeaveTheSlotsOfChatsAlone) {
  SchedulerCore core(Limits(2));
  ASSERT_TRUE(core.Submit(Request(1, 5, 1)).ok());
  const uint32_t chat = RunStep(core).admitted[0].slot;
  for (RequestId id = 2; id < 5; ++id) {
    ASSERT_TRUE(core.Submit(Text(id, 5)).ok());
    EXPECT_NE(RunReading(core).admitted[0].slot, chat);
  }
  ASSERT_TRUE(core.Submit(Request(9, 7, 1)).ok());
  EXPECT_EQ(core.Next(At(0)).admitted[0].kept, 5u);
}

TEST(SchedulerCoreTest, LongTextToEmbedComesInPieces) {
  SchedulerLimits limits = Limits(2);
  limits.max_rows = 4;
  SchedulerCore core(limits);
  ASSERT_TRUE(core.Submit(Text(1, 9)).ok());
  std::vector<uint32_t> firsts;
  for (int i = 0; i < 3; ++i) {
    const Batch step = RunReading(core);
    ASSERT_THAT(step.read, SizeIs(1));
    firsts.push_back(step.read[0].first);
    EXPECT_EQ(step.read[0].last, i == 2);
  }
  EXPECT_THAT(firsts, ElementsAre(0, 4, 8));
}

TEST(SchedulerCoreTest, WholeTextsShareAStepAsFarAsTheyFit) {
  SchedulerLimits limits = Limits(4);
  limits.max_rows = 8;
  limits.whole_texts = true;
  SchedulerCore core(limits);
  for (const auto& [id, tokens] :
       std::vector<std::pair<RequestId, uint32_t>>{{1, 5}, {2, 4}, {3, 1}, {4, 8}}) {
    ASSERT_TRUE(core.Submit(Text(id, tokens)).ok());
  }
  std::vector<RequestId> order;
  while (core.running() + core.waiting() > 0) {
    const Batch step = RunReading(core);
    EXPECT_LE(step.rows.size(), 8u);
    for (const SchedulerCore::Read& read : step.read) {
      EXPECT_EQ(read.first, 0u);
      EXPECT_TRUE(read.last);
      order.push_back(read.id);
    }
    ASSERT_FALSE(step.read.empty());
  }
  EXPECT_THAT(order, ElementsAre(1, 3, 2, 4));
}

}  // namespace
}  // namespace hearth
