#include "daemon/membership/roster_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RosterCoreTest : public ::testing::Test {
 protected:
  WorkerReport Report(const std::string& host, uint64_t revision = 0) const {
    WorkerReport report;
    report.host = host;
    report.version = "1.0";
    report.identity = {absl::StrCat("id-", host), absl::StrCat("machine-", host),
                       absl::StrCat("home-", host)};
    report.revision = revision;
    return report;
  }
  RosterCore::Session Open(const std::string& host, uint64_t now_ms) {
    return core_.Open(Report(host), {"192.0.2.1:1", {}, SessionToken{static_cast<uint8_t>(host[0])}}, now_ms)
        .value();
  }

  RosterCore core_{RosterCore::Options{.version = "1.0", .name = "a", .identity = {}}};
};

TEST_F(RosterCoreTest, LinkIsMeasuredOnceTheWorkerKnowsItsToken) {
  const auto b = Open("b", 0);
  EXPECT_FALSE(core_.NextProbe(0).first.has_value());
  core_.TakeEffects();
  ASSERT_TRUE(core_.Report(b, Report("b", 2), 10).ok());
  EXPECT_TRUE(core_.TakeEffects().measurable);
  const auto [probe, again] = core_.NextProbe(10);
  ASSERT_TRUE(probe.has_value());
  EXPECT_EQ(probe->effort, ProbeEffort::kThorough);
  EXPECT_FALSE(core_.NextProbe(10).first.has_value()) << "one at a time";
  core_.NoteProbe(b, placement::Link{100, 1e8}, 50);
  EXPECT_EQ(core_.StateOf(b), HostState::kAlive);
  EXPECT_EQ(core_.NextProbe(50).second, 3050u);
  EXPECT_EQ(core_.NextProbe(3050).first->effort, ProbeEffort::kQuick);
}

TEST_F(RosterCoreTest, NewHostIsMeasuredBeforeThoseWhoseTurnHasComeAgain) {
  const auto b = Open("b", 0);
  ASSERT_TRUE(core_.Report(b, Report("b", 2), 0).ok());
  core_.NextProbe(0);
  core_.NoteProbe(b, placement::Link{100, 1e8}, 0);
  const auto c = Open("c", 3000);
  ASSERT_TRUE(core_.Report(c, Report("c", 2), 3000).ok());
  EXPECT_EQ(core_.NextProbe(5000).first->session, c);
  EXPECT_EQ(core_.NextProbe(5000).first->session, b);
}

TEST_F(RosterCoreTest, LinkThatCannotBeMeasuredIsTriedAgain) {
  const auto b = Open("b", 0);
  ASSERT_TRUE(core_.Report(b, Report("b", 2), 10).ok());
  ASSERT_TRUE(core_.NextProbe(10).first.has_value());
  core_.NoteProbe(b, absl::UnavailableError("no answer"), 20);
  EXPECT_EQ(core_.StateOf(b), HostState::kJoining);
  EXPECT_EQ(core_.NextProbe(20).second, 1020u);
}

TEST_F(RosterCoreTest, SilentHostIsLostAtItsDeadlineAndWantsNothing) {
  const auto b = Open("b", 0);
  const auto c = Open("c", 500);
  ShardDescription shard;
  shard.epoch = 1;
  core_.SetShards("m", {{"b", {shard}}, {"c", {shard}}});
  EXPECT_EQ(core_.TakeEffects().pushed.size(), 2u);
  EXPECT_EQ(core_.NextDeadline(), 1200u);
  core_.Tick(1200);
  const RosterCore::Effects effects = core_.TakeEffects();
  ASSERT_EQ(effects.lost.size(), 1u);
  EXPECT_EQ(effects.lost[0].first, b);
  EXPECT_THAT(effects.lost[0].second, HasSubstr("no sync"));
  EXPECT_TRUE(core_.Desired(b, 0)->shards.empty());
  EXPECT_EQ(core_.Desired(c, 0)->shards.size(), 1u);
  EXPECT_TRUE(absl::IsUnavailable(core_.Report(b, Report("b", 1), 1300)));
}

TEST_F(RosterCoreTest, WhatFiresIsKeptUntilItIsSaidAnew) {
  const auto b = Open("b", 0);
  WorkerReport report = Report("b", 2);
  report.shards = {
      {7, "m", ShardPhase::kReady, "", 0, 0, 0, {{"cpu", {}, {}, 0, 0, 0, {{0, 8, {3}, {0.5f}}}}}}};
  ASSERT_TRUE(core_.Report(b, report, 10).ok());
  report.shards[0].devices[0].firing.clear();
  ASSERT_TRUE(core_.Report(b, report, 20).ok());
  const auto firing = [&] { return core_.hosts(10)[0].Shard(report.shards[0].epoch)->devices[0].firing; };
  ASSERT_EQ(firing().size(), 1u);
  EXPECT_EQ(firing()[0].rows, 8u);
  report.shards[0].epoch = 8;
  ASSERT_TRUE(core_.Report(b, report, 30).ok());
  EXPECT_THAT(firing(), IsEmpty());
}

TEST_F(RosterCoreTest, PausedHostSaysSoUntilItsTimeIsOver) {
  const auto b = Open("b", 0);
  core_.TakeEffects();
  core_.SetPauses({{"id-b", {500, "it is paused"}}});
  EXPECT_TRUE(core_.TakeEffects().changed);
  EXPECT_EQ(core_.Find(b, 10)->problem(), "it is paused");
  EXPECT_EQ(core_.NextDeadline(), 500u) << "before the host is found lost";
  ASSERT_TRUE(core_.Report(b, Report("b", 2), 499).ok());
  core_.TakeEffects();
  core_.Tick(499);
  EXPECT_FALSE(core_.TakeEffects().changed);
  core_.Tick(500);
  EXPECT_TRUE(core_.TakeEffects().changed);
  EXPECT_EQ(core_.Find(b, 500)->problem(), "");
}

TEST_F(RosterCoreTest, HostThatComesBackIsStillPaused) {
  core_.SetPauses({{"id-b", {UINT64_MAX, "it is paused"}}});
  core_.Close(Open("b", 0), "it went away");
  EXPECT_EQ(core_.Find(Open("b", 1000), 1000)->problem(), "it is paused");
  core_.SetPauses({});
  EXPECT_EQ(core_.hosts(1000)[0].problem(), "");
}

TEST_F(RosterCoreTest, LateProbeOfAFormerSessionChangesNothing) {
  const auto first = Open("b", 0);
  ASSERT_TRUE(core_.Report(first, Report("b", 2), 10).ok());
  ASSERT_TRUE(core_.NextProbe(10).first.has_value());
  core_.Close(first, "gone");
  const auto second = Open("b", 20);
  core_.TakeEffects();
  core_.NoteProbe(first, placement::Link{100, 1e8}, 30);
  EXPECT_EQ(core_.StateOf(second), HostState::kJoining);
  EXPECT_EQ(core_.StateOf(first), std::nullopt);
  EXPECT_THAT(core_.TakeEffects().lost, IsEmpty());
}

TEST_F(RosterCoreTest, TokenIsKnownAsLongAsItsSessionLasts) {
  const auto b = Open("b", 0);
  EXPECT_TRUE(core_.KnowsToken(SessionToken{'b'}));
  EXPECT_FALSE(core_.KnowsToken(SessionToken{'c'}));
  core_.Close(b, "gone");
  EXPECT_FALSE(core_.KnowsToken(SessionToken{'b'}));
}

}  // namespace
}  // namespace hearth
