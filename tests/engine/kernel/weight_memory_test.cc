#include "engine/kernel/weight_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace hearth {
namespace {

using ::testing::HasSubstr;

WeightMemory AllocateOrDie(size_t bytes) {
  absl::StatusOr<WeightMemory> memory = WeightMemory::Allocate(bytes);
  EXPECT_TRUE(memory.ok()) << memory.status();
  return *std::move(memory);
}

bool IsZero(const WeightMemory& memory) {
  return std::all_of(memory.data(), memory.data() + memory.size(), [](uint8_t byte) { return byte == 0; });
}

// Pages of the piece that are in memory.
size_t ResidentPages(const uint8_t* data, size_t bytes) {
  std::vector<unsigned char> pages(bytes / static_cast<size_t>(getpagesize()));
  EXPECT_EQ(mincore(const_cast<uint8_t*>(data), bytes, pages.data()), 0);
  return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
}

TEST(WeightMemory, PiecesOfAnySizeAreZeroAlignedAndApart) {
  std::vector<WeightMemory> pieces;
  for (const size_t bytes : {1, 63, 64, 4096, 4097, 100'000, 3 << 20, 70 << 20}) {
    pieces.push_back(AllocateOrDie(bytes));
    EXPECT_EQ(pieces.back().size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pieces.back().data()) % getpagesize(), 0u);
    EXPECT_TRUE(IsZero(pieces.back())) << bytes;
    std::fill_n(pieces.back().data(), bytes, static_cast<uint8_t>(pieces.size()));
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto is_own = [i](uint8_t byte) { return byte == i + 1; };
    EXPECT_TRUE(std::all_of(pieces[i].data(), pieces[i].data() + pieces[i].size(), is_own)) << i;
  }
}

TEST(WeightMemory, PiecesLieSideBySideSoThatHugePagesHoldTheirEnds) {
  // Of three pieces in a row at most one starts a new region.
  const WeightMemory a = AllocateOrDie(3 << 20), b = AllocateOrDie(3 << 20), c = AllocateOrDie(3 << 20);
  EXPECT_TRUE(a.data() + a.size() == b.data() || b.data() + b.size() == c.data());
}

TEST(WeightMemory, NothingIsNoMemory) {
  const WeightMemory none = AllocateOrDie(0);
  EXPECT_EQ(none.size(), 0u);
  EXPECT_EQ(none.data(), nullptr);
}

TEST(WeightMemory, MorePiecesThanARegionHoldsGetOthers) {
  std::vector<WeightMemory> pieces;
  for (int i = 0; i < 10; ++i) {
    pieces.push_back(AllocateOrDie(100 << 20));
    pieces.back().data()[0] = pieces.back().data()[pieces.back().size() - 1] = static_cast<uint8_t>(i + 1);
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(pieces[i].data()[0], i + 1);
    EXPECT_EQ(pieces[i].data()[pieces[i].size() - 1], i + 1);
  }
}

TEST(WeightMemory, WhatWasReleasedIsNotInMemoryAnyMoreAndNewPiecesAreZero) {
  const uint8_t* data;
  const size_t bytes = 8 << 20;
  {
    const WeightMemory memory = AllocateOrDie(bytes);
    data = memory.data();
    std::fill_n(memory.data(), bytes, 0xAB);
    EXPECT_EQ(ResidentPages(data, bytes), bytes / getpagesize());
  }
  EXPECT_EQ(ResidentPages(data, bytes), 0u);  // still mapped: the next piece may come from the same region
  EXPECT_TRUE(IsZero(AllocateOrDie(bytes)));
}

TEST(WeightMemory, ThoseThatComeTakeThePlaceOfThoseThatWent) {
  const WeightMemory stays = AllocateOrDie(100);
  const uint8_t* const place = AllocateOrDie(1 << 20).data();
  for (int i = 0; i < 1000; ++i) {
    const WeightMemory piece = AllocateOrDie(1 << 20);
    ASSERT_EQ(piece.data(), place);
    piece.data()[i] = 1;
  }
}

TEST(WeightMemory, NeighboursThatWentLeaveOneRoomInWhateverOrder) {
  constexpr size_t kBytes = 1 << 20;
  for (const std::vector<size_t>& order :
       {std::vector<size_t>{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}}) {
    std::vector<WeightMemory> pieces;
    for (int i = 0; i < 4; ++i) pieces.push_back(AllocateOrDie(kBytes));  // the last one stays
    const uint8_t* const first = pieces[0].data();
    for (size_t i = 0; i < 3; ++i) ASSERT_EQ(pieces[i].data(), first + i * kBytes);
    for (const size_t i : order) {
      std::fill_n(pieces[i].data(), kBytes, 0xAB);
      pieces[i] = {};
    }
    const WeightMemory larger = AllocateOrDie(3 * kBytes + 1), all = AllocateOrDie(3 * kBytes);
    EXPECT_NE(larger.data(), first);
    EXPECT_EQ(all.data(), first);
    EXPECT_TRUE(IsZero(all));
  }
}

TEST(WeightMemory, MovingHandsThePieceOver) {
  WeightMemory a = AllocateOrDie(100);
  a.data()[0] = 7;
  WeightMemory b = std::move(a);
  EXPECT_EQ(b.data()[0], 7);
  WeightMemory c = AllocateOrDie(200);
  c = std::move(b);
  EXPECT_EQ(c.data()[0], 7);
  EXPECT_EQ(c.size(), 100u);
}

TEST(WeightMemory, MoreThanTheAddressSpaceIsRefused) {
  for (const size_t bytes :
       {std::numeric_limits<size_t>::max(), std::numeric_limits<size_t>::max() / 2, size_t{1} << 62}) {
    const absl::Status status = WeightMemory::Allocate(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::to_string(bytes)));
  }
}

TEST(WeightMemory, ThreadsGetPiecesOfTheirOwn) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 50; ++i) {
        const WeightMemory memory = AllocateOrDie(10'000);
        std::fill_n(memory.data(), memory.size(), static_cast<uint8_t>(t + 1));
        const auto is_own = [t](uint8_t byte) { return byte == t + 1; };
        EXPECT_TRUE(std::all_of(memory.data(), memory.data() + memory.size(), is_own));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace hearth
