#include "daemon/planning/cache_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::HasSubstr;

// There is memory for so many positions, of whatever sequences.
CacheFits RoomFor(uint64_t positions) {
  return [positions](const CacheSize& size) {
    if (uint64_t{size.context} * size.slots <= positions) return absl::OkStatus();
    return absl::ResourceExhaustedError("the model needs 2 GiB, all devices offer 1 GiB");
  };
}

CacheSize Choose(const CacheWish& wish, uint64_t positions) {
  const absl::StatusOr<CacheSize> size = ChooseCacheSize(wish, RoomFor(positions));
  EXPECT_TRUE(size.ok()) << size.status();
  return size.value_or(CacheSize{0, 0});
}

TEST(CacheSizeTest, TakesTheModelsOwnContextWhereMemoryIsPlenty) {
  EXPECT_EQ(Choose({.trained = 32768}, 1 << 20), (CacheSize{32768, 8}));
  EXPECT_EQ(Choose({.trained = 2048}, 1 << 20), (CacheSize{2048, 8}));
  EXPECT_EQ(Choose({.trained = 300}, 1 << 20), (CacheSize{300, 8}));
  EXPECT_EQ(Choose({}, 1 << 30), (CacheSize{kUsualContext, 8}));
}

TEST(CacheSizeTest, TakesAsManySlotsAsAreUsualWhereMemoryHasRoom) {
  EXPECT_EQ(Choose({.trained = 2048, .usual_slots = 32}, 1 << 20), (CacheSize{2048, 32}));
  EXPECT_EQ(Choose({.trained = 4096, .usual_slots = 32}, 16 * 4096), (CacheSize{4096, 16}));
  EXPECT_EQ(Choose({.slots = 2, .trained = 2048, .usual_slots = 32}, 1 << 20), (CacheSize{2048, 2}));
  EXPECT_THAT(DescribeCacheSize({.trained = 4096, .usual_slots = 32}, {4096, 16}),
              HasSubstr("memory has no room for 32 requests"));
}

TEST(CacheSizeTest, LeavesAsMuchMemoryToOthersAsALongContextTakes) {
  EXPECT_EQ(Choose({.trained = 131072}, 8 * 20480), (CacheSize{10240, 8}));
  EXPECT_EQ(Choose({.trained = 131072}, 8 * 20480 + 8 * 511), (CacheSize{10240, 8}));
  EXPECT_EQ(Choose({.trained = 131072}, 8 * 5000), (CacheSize{kUsualContext, 8}));
  EXPECT_EQ(Choose({.slots = 1, .trained = 131072}, 20480), (CacheSize{10240, 1}));
}

TEST(CacheSizeTest, GivesUpSlotsBeforeTheUsualContext) {
  EXPECT_EQ(Choose({.trained = 131072}, 8 * 4096 - 1), (CacheSize{4096, 4}));
  EXPECT_EQ(Choose({.trained = 131072}, 4096), (CacheSize{4096, 1}));
  EXPECT_EQ(Choose({.trained = 2048}, 5000), (CacheSize{2048, 2}));
}

TEST(CacheSizeTest, ShortensTheContextOfTheLastSlot) {
  EXPECT_EQ(Choose({.trained = 131072}, 4095), (CacheSize{3840, 1}));
  EXPECT_EQ(Choose({.trained = 131072}, 256), (CacheSize{256, 1}));
}

TEST(CacheSizeTest, HonoursWhatIsAskedFor) {
  EXPECT_EQ(Choose({.context = 10000, .trained = 32768}, 80000), (CacheSize{10000, 8}));
  EXPECT_EQ(Choose({.context = 10000, .trained = 32768}, 30000), (CacheSize{10000, 2}));
  EXPECT_EQ(Choose({.context = 10000, .slots = 3, .trained = 32768}, 30000), (CacheSize{10000, 3}));
  EXPECT_EQ(Choose({.slots = 20, .trained = 32768}, 20 * 1100), (CacheSize{1024, 20}));
  EXPECT_EQ(Choose({.context = 40000, .trained = 512}, 1 << 20), (CacheSize{512, 8}));
  EXPECT_EQ(Choose({.context = 70000}, 1 << 20), (CacheSize{70000, 8}));
}

TEST(CacheSizeTest, RefusesWhatIsAskedForWithWhatWouldFit) {
  const absl::Status both =
      ChooseCacheSize({.context = 10000, .slots = 8, .trained = 32768}, RoomFor(30000)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(both));
  EXPECT_THAT(both.message(),
              HasSubstr("needs 2 GiB, all devices offer 1 GiB; what fits: --context 3584 with "
                        "--slots 8, or --context 10000 with --slots 2"));
  const absl::Status context = ChooseCacheSize({.context = 10000, .trained = 32768}, RoomFor(5000)).status();
  EXPECT_THAT(context.message(), HasSubstr("; what fits: --context 512 with --slots 8"));
  const absl::Status slots = ChooseCacheSize({.slots = 100, .trained = 32768}, RoomFor(20000)).status();
  EXPECT_THAT(slots.message(), HasSubstr("; what fits: --context 4096 with --slots 3"));
}

TEST(CacheSizeTest, RefusesWhatFitsInNoWayAsItIs) {
  const absl::Status status = ChooseCacheSize({.trained = 32768}, RoomFor(100)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(status.message(), "the model needs 2 GiB, all devices offer 1 GiB");
}

TEST(CacheSizeTest, OtherErrorsEndTheSearch) {
  int calls = 0;
  const absl::Status status = ChooseCacheSize({.trained = 32768}, [&](const CacheSize&) {
                                ++calls;
                                return absl::InvalidArgumentError("no such cache");
                              }).status();
  EXPECT_EQ(status, absl::InvalidArgumentError("no such cache"));
  EXPECT_EQ(calls, 1);
}

TEST(CacheSizeTest, SaysWhatWasChosenAndWhy) {
  EXPECT_EQ(DescribeCacheSize({.trained = 2048}, {2048, 8}),
            "a context of 2048 tokens for each of 8 requests at a time: all that the model was made for");
  EXPECT_EQ(DescribeCacheSize({.trained = 32768}, {4096, 1}),
            "a context of 4096 tokens for each of 1 request at a time: what memory has room for of the 32768 "
            "that the model was made for (--context N asks for more); memory has no room for 8 requests");
  EXPECT_EQ(DescribeCacheSize({.context = 999, .trained = 512}, {512, 8}),
            "a context of 512 tokens for each of 8 requests at a time: all that the model was trained for, "
            "--context 999 is more");
  EXPECT_EQ(DescribeCacheSize({.context = 512, .slots = 2, .trained = 512}, {512, 2}),
            "a context of 512 tokens for each of 2 requests at a time");
}

}  // namespace
}  // namespace hearth
