#include "client/library/chunks.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;

constexpr uint64_t kChunk = Chunks::kLeastBytes;

TEST(ChunksTest, PiecesAreTakenFromTheFrontAndEachOnce) {
  Chunks chunks(2 * kChunk + 5);
  for (const Chunks::Piece expected :
       {Chunks::Piece{0, 0, kChunk}, {1, kChunk, 2 * kChunk}, {2, 2 * kChunk, 2 * kChunk + 5}}) {
    const std::optional<Chunks::Piece> piece = chunks.Take();
    ASSERT_TRUE(piece.has_value());
    EXPECT_EQ(piece->begin, expected.begin);
    EXPECT_EQ(piece->end, expected.end);
  }
  EXPECT_FALSE(chunks.Take().has_value());
}

TEST(ChunksTest, WhatAPieceHasLeftIsTakenAgainOnceItIsReleased) {
  Chunks chunks(kChunk);
  const Chunks::Piece piece = *chunks.Take();
  chunks.Add(0, 100);
  EXPECT_FALSE(chunks.Take().has_value());
  chunks.Release(piece);
  const Chunks::Piece rest = *chunks.Take();
  EXPECT_EQ(rest.begin, 100u);
  EXPECT_EQ(rest.end, kChunk);
}

TEST(ChunksTest, PrefixEndsAtTheFirstGap) {
  Chunks chunks(3 * kChunk);
  chunks.Add(kChunk, kChunk);
  EXPECT_EQ(chunks.prefix_bytes(), 0u);
  chunks.Add(0, 10);
  EXPECT_EQ(chunks.prefix_bytes(), 10u);
  chunks.Add(10, kChunk - 10);
  EXPECT_EQ(chunks.prefix_bytes(), 2 * kChunk);
  EXPECT_EQ(chunks.done_bytes(), 2 * kChunk);
  EXPECT_FALSE(chunks.complete());
}

TEST(ChunksTest, BytesOfAWholeFileReachOverChunks) {
  Chunks chunks(2 * kChunk + 5);
  chunks.Add(0, kChunk + 1);
  chunks.Add(kChunk + 1, kChunk + 4);
  EXPECT_TRUE(chunks.complete());
  EXPECT_EQ(chunks.prefix_bytes(), 2 * kChunk + 5);
}

TEST(ChunksTest, LargeFilesHaveFewChunks) {
  EXPECT_LE(Chunks(uint64_t{1} << 40).done().size(), Chunks::kMost);
  EXPECT_LE(Chunks(UINT64_MAX).done().size(), Chunks::kMost);
  EXPECT_EQ(Chunks(1).done().size(), 1u);
}

TEST(ChunksTest, RestoredOnesGoOn) {
  std::optional<Chunks> chunks = Chunks::Restore(kChunk + 5, {kChunk, 2});
  ASSERT_TRUE(chunks.has_value());
  EXPECT_EQ(chunks->prefix_bytes(), kChunk + 2);
  EXPECT_EQ(chunks->Take()->begin, kChunk + 2);
  EXPECT_THAT(chunks->done(), ElementsAre(kChunk, 2));
}

TEST(ChunksTest, RecordsOfOtherFilesAreRefused) {
  EXPECT_FALSE(Chunks::Restore(kChunk + 5, {kChunk}).has_value());
  EXPECT_FALSE(Chunks::Restore(kChunk + 5, {kChunk, 6}).has_value());
  EXPECT_FALSE(Chunks::Restore(kChunk + 5, {kChunk + 1, 0}).has_value());
  EXPECT_FALSE(Chunks::Restore(kChunk + 5, {0, UINT64_MAX}).has_value());
}

}  // namespace
}  // namespace hearth
