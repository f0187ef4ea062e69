#include "daemon/channel/patience.h"

#include <gtest/gtest.h>

#include <chrono>

namespace hearth {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

FrameHeader Request(FrameOperation operation, uint32_t layer, uint32_t rows) {
  FrameHeader header;
  header.operation = operation;
  header.layer = layer;
  header.rows = rows;
  return header;
}

// 500 ms for an attention, 700 ms for an FFN, of each of two layers; 1 s for the output, 2 s for a stage.
Patience MakePatience() { return Patience({{5e5, 5e5}, {7e5, 7e5}, 1e6, 2e6}); }

TEST(PatienceTest, IsFourTimesWhatThePlanExpectsOfEachRow) {
  const Patience patience = MakePatience();
  EXPECT_EQ(patience.For(Request(FrameOperation::kMix, 1, 1)), seconds(2));
  EXPECT_EQ(patience.For(Request(FrameOperation::kFfn, 0, 10)), seconds(28));
  EXPECT_EQ(patience.For(Request(FrameOperation::kOutput, 0, 1)), seconds(4));
  EXPECT_EQ(patience.For(Request(FrameOperation::kStage, 0, 1)), seconds(8));
}

TEST(PatienceTest, IsASecondAtLeastAndTenMinutesAtMost) {
  const Patience hurried({{1}, {1}, 1, 1});
  EXPECT_EQ(hurried.For(Request(FrameOperation::kFfn, 0, 512)), seconds(1));
  EXPECT_EQ(hurried.For(Request(FrameOperation::kReadKv, 0, 0)), seconds(1));
  EXPECT_EQ(MakePatience().For(Request(FrameOperation::kStage, 0, 512)), seconds(600));
}

TEST(PatienceTest, RowsThatCameTogetherBeforeAreExpectedToDoSoAgain) {
  Patience patience = MakePatience();
  patience.Note(Request(FrameOperation::kFfn, 0, 100), milliseconds(500));  // 5 ms each
  patience.Note(Request(FrameOperation::kFfn, 1, 100), milliseconds(200));
  EXPECT_EQ(patience.For(Request(FrameOperation::kFfn, 1, 100)), seconds(3));
  EXPECT_EQ(patience.For(Request(FrameOperation::kMix, 1, 100)), seconds(200));
}

TEST(PatienceTest, OneSlowAnswerMakesItNoLongerThanThePlanDoes) {
  Patience patience = MakePatience();
  patience.Note(Request(FrameOperation::kFfn, 0, 2), seconds(100));
  EXPECT_EQ(patience.For(Request(FrameOperation::kFfn, 0, 2)), milliseconds(5600));
}

TEST(PatienceTest, SingleRowsAreTimedByThePlanAlone) {
  Patience patience = MakePatience();
  patience.Note(Request(FrameOperation::kFfn, 0, 1), milliseconds(1));
  EXPECT_EQ(patience.For(Request(FrameOperation::kFfn, 0, 1)), milliseconds(2800));
  EXPECT_EQ(patience.For(Request(FrameOperation::kFfn, 0, 10)), seconds(28));
}

}  // namespace
}  // namespace hearth
