#include "daemon/membership/sync_core.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

using std::chrono::milliseconds;

SyncCore::Clock::time_point At(int ms) { return SyncCore::Clock::time_point(milliseconds(ms)); }

DesiredShards Desired(uint64_t revision, bool unchanged = false) {
  DesiredShards desired;
  desired.revision = revision;
  desired.unchanged = unchanged;
  desired.sync_interval_ms = 250;
  desired.lost_after_ms = 1200;
  return desired;
}

TEST(SyncCore, ReportsAtOnceThenEveryIntervalAndWhenThereIsNews) {
  SyncCore core;
  core.Begin(At(0));
  EXPECT_TRUE(core.ReportIsDue(false, At(0)));
  core.NoteReport(At(0));
  EXPECT_FALSE(core.ReportIsDue(false, At(249)));
  EXPECT_TRUE(core.ReportIsDue(true, At(10)));
  EXPECT_TRUE(core.ReportIsDue(false, At(250)));
}

TEST(SyncCore, FollowsWhatIsNewAndNotWhatIsUnchanged) {
  SyncCore core;
  core.Begin(At(0));
  EXPECT_EQ(core.revision(), 0u);
  EXPECT_TRUE(core.TakeAnswer(Desired(7), At(1)));
  EXPECT_FALSE(core.TakeAnswer(Desired(7, true), At(2)));
  EXPECT_EQ(core.revision(), 7u);
  core.Begin(At(3));
  EXPECT_EQ(core.revision(), 0u) << "another stream has told nothing yet";
}

TEST(SyncCore, SilentCoordinatorIsGivenUpAndTheFirstAnswerMayTakeLonger) {
  SyncCore core;
  core.Begin(At(0));
  EXPECT_TRUE(core.CheckSilence(At(3000)).ok());
  EXPECT_FALSE(core.CheckSilence(At(3001)).ok());
  core.TakeAnswer(Desired(1), At(100));
  EXPECT_TRUE(core.CheckSilence(At(1300)).ok());
  EXPECT_TRUE(absl::IsUnavailable(core.CheckSilence(At(1301))));
}

TEST(SyncCore, PausesGrowUntilAnAnswerComes) {
  SyncCore core;
  core.Begin(At(0));
  for (const int pause : {200, 400, 800, 1000, 1000}) EXPECT_EQ(core.NextPause(), milliseconds(pause));
  core.TakeAnswer(Desired(1), At(0));
  EXPECT_EQ(core.NextPause(), milliseconds(100));
}

}  // namespace
}  // namespace hearth
