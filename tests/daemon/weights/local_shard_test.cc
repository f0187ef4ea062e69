#include "daemon/weights/local_shard.h"

#include <gtest/gtest.h>

#include "tests/daemon/weights/shard_fixture.h"

namespace hearth {
namespace {

constexpr uint64_t kPlenty = uint64_t{1} << 30;

class LocalShardTest : public ::testing::Test {
 protected:
  const ShardFixture fixture_;
  HostDevices devices_{{{"a", 1, kPlenty}, {"b", 1, kPlenty}, {"c", 1, kPlenty}}};
  const std::vector<float> x_ = RandomRows(3 * ShardFixture::kEmbedding, 5);
};

TEST_F(LocalShardTest, SumsDoNotDependOnTheSplitAmongDevices) {
  const std::vector<int64_t> expected = fixture_.Expected(0, x_);
  const auto one = fixture_.Load(fixture_.Describe(1, [](size_t) { return "b"; }), devices_);
  const auto three = fixture_.Load(
      fixture_.Describe(2, [](size_t g) { return g == 0   ? "a"
                                                 : g == 1 ? "b"
                                                          : "c"; }), devices_);
  EXPECT_EQ(one->devices().size(), 1);
  EXPECT_EQ(three->devices().size(), 3);
  EXPECT_EQ(ShardFixture::Run(*one, 0, x_), expected);
  EXPECT_EQ(ShardFixture::Run(*three, 0, x_), expected);
}

TEST_F(LocalShardTest, NewPlanTakesOverWhatIsThereAndLoadsTheRest) {
  const auto half = fixture_.Load(fixture_.Describe(1, [](size_t g) { return g < 2 ? "a" : ""; }), devices_);
  int loaded = 0;
  const auto whole =
      fixture_.Load(fixture_.Describe(2, [](size_t) { return "a"; }), devices_, half.get(), &loaded);
  EXPECT_EQ(loaded, 2 * 2);  // the other two groups of both layers
  EXPECT_EQ(ShardFixture::Run(*whole, 1, x_), fixture_.Expected(1, x_));
  EXPECT_EQ(whole->shard_devices()[0]->ffn(0)[0], half->shard_devices()[0]->ffn(0)[0]);
}

TEST_F(LocalShardTest, GroupsOfAnotherDeviceOrModelAreNotTakenOver) {
  const auto on_a = fixture_.Load(fixture_.Describe(1, [](size_t) { return "a"; }), devices_);
  LocalShard on_b(fixture_.Describe(2, [](size_t) { return "b"; }), devices_);
  on_b.Adopt(*on_a);
  EXPECT_EQ(on_b.missing().size(), 8);
  ShardDescription other = fixture_.Describe(3, [](size_t) { return "a"; });
  other.model_digest = "sha256:other";
  LocalShard other_model(std::move(other), devices_);
  other_model.Adopt(*on_a);
  EXPECT_EQ(other_model.missing().size(), 8);
}

TEST_F(LocalShardTest, PieceWithUnwantedGroupsIsLoadedAnew) {
  const auto whole = fixture_.Load(fixture_.Describe(1, [](size_t) { return "a"; }), devices_);
  LocalShard half(fixture_.Describe(2, [](size_t g) { return g < 2 ? "a" : ""; }), devices_);
  half.Adopt(*whole);
  EXPECT_EQ(half.missing().size(), 4);
}

TEST_F(LocalShardTest, CountsNeuronsThatWereComputedAndOffered) {
  const auto shard = fixture_.Load(fixture_.Describe(1, [](size_t) { return "b"; }), devices_);
  ShardFixture::Run(*shard, 0, x_);
  const DeviceCounters counters = shard->shard_devices()[1]->counters();
  EXPECT_EQ(counters.neurons_held[0], 3 * ShardFixture::kNeurons);
  EXPECT_EQ(counters.neurons_held[1], 0);
  EXPECT_GT(counters.neurons_computed[0], 0);
  EXPECT_LT(counters.neurons_computed[0], counters.neurons_held[0]);
}

TEST_F(LocalShardTest, UnknownDeviceIsRefused) {
  const LocalShard shard(fixture_.Describe(1, [](size_t) { return "z"; }), devices_);
  EXPECT_EQ(shard.Check().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LocalShardTest, MoreThanADeviceMayHoldIsRefusedBeforeLoading) {
  HostDevices small({{"a", 1, 1000}});
  const LocalShard shard(fixture_.Describe(1, [](size_t) { return "a"; }), small);
  EXPECT_EQ(shard.Check().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(LocalShardTest, FailedLoadingCanBeTriedAgain) {
  LocalShard shard(fixture_.Describe(1, [](size_t) { return "a"; }), devices_);
  ThreadPool pool(1);
  int calls = 0;
  const auto source = [&](const ShardLayer& share, const PlacedGroup& group) -> absl::StatusOr<GroupWeights> {
    if (++calls == 6) return absl::UnavailableError("gone");
    return GroupWeights::FromBundle(share.spec, group.group, fixture_.Bundle(share, group));
  };
  EXPECT_EQ(shard.Load(source, pool, nullptr).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(shard.Load(source, pool, nullptr).ok());
  EXPECT_EQ(ShardFixture::Run(shard, 1, x_), fixture_.Expected(1, x_));
}

}  // namespace
}  // namespace hearth
