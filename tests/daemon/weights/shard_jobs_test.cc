#include "daemon/weights/shard_jobs.h"

#include <gtest/gtest.h>

#include <string>

namespace hearth {
namespace {

using Jobs = ShardJobs<std::string>;

ShardDescription Shard(uint64_t epoch) {
  ShardDescription shard;
  shard.epoch = epoch;
  shard.model = "m";
  return shard;
}

TEST(ShardJobs, WhatIsWantedStillGoesOnAndTheRestIsNew) {
  const SessionToken session{1};
  Jobs jobs = Jobs().Follow(session, {Shard(1), Shard(2)});
  jobs.all().at(2).held = "weights";
  const Jobs next = jobs.Follow(session, {Shard(2), Shard(3)});
  EXPECT_EQ(next.all().at(2).held, "weights");
  EXPECT_EQ(next.all().at(3).held, "");
  EXPECT_EQ(jobs.EndedIn(next), std::vector<uint64_t>({1}));
}

TEST(ShardJobs, InAnotherSessionAnEpochIsAnotherShard) {
  Jobs jobs = Jobs().Follow({1}, {Shard(1)});
  jobs.all().at(1).ready = true;
  const Jobs next = jobs.Follow({2}, {Shard(1)});
  EXPECT_FALSE(next.all().at(1).ready);
  EXPECT_EQ(jobs.EndedIn(next), std::vector<uint64_t>({1}));
}

TEST(ShardJobs, NextIsTheOneThatMayBeTriedFirst) {
  Jobs jobs = Jobs().Follow({}, {Shard(1), Shard(2), Shard(3)});
  jobs.all().at(1).not_before += std::chrono::seconds(5);
  jobs.all().at(2).ready = true;
  EXPECT_EQ(jobs.Next()->description.epoch, 3u);
  for (auto& [epoch, job] : jobs.all()) job.ready = true;
  EXPECT_EQ(jobs.Next(), nullptr);
}

TEST(ShardJobs, ErrorsThatPassAreTriedAgainSoonerThanOthers) {
  const ShardFailure full = JudgeShardFailure(absl::FailedPreconditionError("disk"));
  EXPECT_TRUE(full.disk_is_full);
  EXPECT_EQ(full.phase, ShardPhase::kFetching);
  const ShardFailure gone = JudgeShardFailure(absl::UnavailableError("gone"));
  EXPECT_FALSE(gone.disk_is_full);
  const ShardFailure bad = JudgeShardFailure(absl::InvalidArgumentError("bad"));
  EXPECT_EQ(bad.phase, ShardPhase::kFailed);
  EXPECT_GT(bad.again_after, gone.again_after);
}

TEST(ShardJobs, RoomIsLeftBesideAShard) {
  EXPECT_TRUE(CheckRoom(100, (64 << 20) + 100).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(CheckRoom(101, (64 << 20) + 100)));
  EXPECT_TRUE(absl::IsResourceExhausted(CheckRoom(1, 0)));
  EXPECT_EQ(ShortBytes(100, (64 << 20) + 100), 0u);
  EXPECT_EQ(ShortBytes(130, (64 << 20) + 100), 30u);
  EXPECT_EQ(ShortBytes(7, 5), 7u);
}

}  // namespace
}  // namespace hearth
