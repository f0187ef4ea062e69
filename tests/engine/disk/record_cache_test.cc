#include "engine/disk/record_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "tests/engine/disk/file_of.h"
#include "tests/engine/disk/scripted_queue.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using Table = RecordCache::Table;

constexpr size_t kRecord = 96;
constexpr DiskReaderOptions kOptions = {.depth = 4, .buffer_bytes = 16384};

// Records of 96 bytes on a disk in memory, all after the first 8 bytes of which go into slots as they are; a
// first byte of the wanted ones that is 255 means damage.
class Disk {
 public:
  explicit Disk(size_t records) : bytes_(Pattern(records * kRecord)) {
    for (size_t i = 8; i < bytes_.size(); i += kRecord) bytes_[i] %= 200;
  }

  std::vector<uint8_t>& bytes() { return bytes_; }
  std::unique_ptr<RecordCache> Cache(ScriptedQueue::Script script = {}, ScriptedQueue::Pick pick = {}) const {
    return std::make_unique<RecordCache>(DiskReader::Make("disk", kOptions, 512, [&](absl::Span<uint8_t>) {
                                           return std::make_unique<ScriptedQueue>(bytes_, script, pick);
                                         }).value());
  }

  static RecordCache::TableSpec Spec(std::vector<uint32_t> numbers, bool always = false) {
    RecordCache::TableSpec spec;
    spec.name = "layer 7";
    spec.record_bytes = kRecord;
    spec.numbers = std::move(numbers);
    spec.always = always;
    spec.skip = 8;
    spec.slot_bytes = kRecord - 8;
    spec.place = [](const uint8_t* bytes, uint8_t* slot) {
      std::memcpy(slot, bytes, kRecord - 8);
      return bytes[0] != 255;
    };
    return spec;
  }

  // Whether a slot holds that record.
  bool Holds(const uint8_t* slot, uint32_t number) const {
    return std::memcmp(slot, bytes_.data() + number * kRecord + 8, kRecord - 8) == 0;
  }

 private:
  std::vector<uint8_t> bytes_;
};

std::vector<uint32_t> Range(uint32_t begin, uint32_t end) {
  std::vector<uint32_t> numbers;
  for (uint32_t i = begin; i < end; ++i) numbers.push_back(i);
  return numbers;
}

// Opens a cache of that many slots.
void OpenWith(RecordCache& cache, size_t slots) {
  uint64_t bytes = cache.least_bytes();
  // The least is for the largest table; slots are all of one size.
  ASSERT_TRUE(cache.Open(bytes + (slots - cache.largest_table()) * cache.bytes_per_slot()).ok());
  ASSERT_EQ(cache.slots(), slots);
}

void Use(RecordCache& cache, Table& table, const std::vector<uint32_t>& rows, bool passing = false) {
  ASSERT_TRUE(cache.Ask(table, rows, passing).ok());
  ASSERT_TRUE(cache.Wait(table).ok());
  cache.LetGo(table);
}

TEST(RecordCacheTest, RowsAskedForAreThereInTheOrderOfTheirTable) {
  const Disk disk(100);
  const auto cache = disk.Cache();
  Table* table = cache->Add(Disk::Spec({30, 20, 99, 21, 22, 0}));
  OpenWith(*cache, 6);
  ASSERT_TRUE(cache->Ask(*table, {0, 2, 3, 4}, false).ok());
  ASSERT_TRUE(cache->Wait(*table).ok());
  EXPECT_TRUE(disk.Holds(table->places()[0], 30));
  EXPECT_TRUE(disk.Holds(table->places()[2], 99));
  EXPECT_TRUE(disk.Holds(table->places()[3], 21));
  EXPECT_EQ(table->places()[1], nullptr);
  cache->LetGo(*table);
  EXPECT_EQ(cache->counters().misses, 4u);
  // Records 21, 22 and 30 are near enough to one another to be one read.
  EXPECT_EQ(cache->counters().reads, 1u);
}

TEST(RecordCacheTest, WhatIsUsedOftenStaysWhateverPassesThrough) {
  const Disk disk(400);
  const auto cache = disk.Cache();
  Table* hot = cache->Add(Disk::Spec(Range(0, 8)));
  Table* cold = cache->Add(Disk::Spec(Range(8, 400)));
  ASSERT_TRUE(cache->Open(cache->overhead_bytes() + 400 * cache->bytes_per_slot()).ok());
  for (int i = 0; i < 4; ++i) Use(*cache, *hot, Range(0, 8));
  const uint64_t misses = cache->counters().misses;
  for (uint32_t i = 0; i < 300; i += 10) {
    Use(*cache, *cold, Range(i, i + 10), /*passing=*/true);
    Use(*cache, *hot, Range(0, 8));
  }
  EXPECT_EQ(cache->counters().misses, misses + 300);
}

TEST(RecordCacheTest, RowsThatAreAskedForAreNeverGivenUp) {
  const Disk disk(40);
  const auto cache = disk.Cache();
  Table* first = cache->Add(Disk::Spec(Range(0, 10)));
  Table* second = cache->Add(Disk::Spec(Range(10, 20)));
  Table* third = cache->Add(Disk::Spec(Range(20, 30)));
  OpenWith(*cache, 20);
  ASSERT_TRUE(cache->Ask(*first, Range(0, 10), false).ok());
  ASSERT_TRUE(cache->Wait(*first).ok());
  for (int i = 0; i < 3; ++i) {
    Use(*cache, *second, Range(0, 10));
    Use(*cache, *third, Range(0, 10));
  }
  EXPECT_FALSE(cache->HasRoom(11));
  EXPECT_TRUE(cache->HasRoom(10));
  for (uint32_t i = 0; i < 10; ++i) EXPECT_TRUE(disk.Holds(first->places()[i], i));
}

TEST(RecordCacheTest, TablesAskedForInTurnKeepAShareAndAreReadAhead) {
  const Disk disk(80);
  const auto cache = disk.Cache();
  std::vector<Table*> tables;
  for (uint32_t t = 0; t < 8; ++t) tables.push_back(cache->Add(Disk::Spec(Range(10 * t, 10 * t + 10), true)));
  OpenWith(*cache, 60);
  ASSERT_TRUE(cache->KeepWhatFits().ok());
  const uint64_t kept = cache->counters().misses;
  EXPECT_EQ(kept, 16u);  // two rows of ten: 60 slots less four tables in turn, of 80 records
  for (int round = 0; round < 3; ++round) {
    for (uint32_t t = 0; t < 8; ++t) {
      if (!cache->asked(*tables[t])) {
        ASSERT_TRUE(cache->Ask(*tables[t], Range(0, 10), false).ok());
      }
      ASSERT_TRUE(cache->AskAhead(*tables[t]).ok());
      EXPECT_TRUE(cache->asked(*tables[(t + 1) % 8]));
      ASSERT_TRUE(cache->Wait(*tables[t]).ok());
      for (uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(disk.Holds(tables[t]->places()[i], 10 * t + i));
      cache->LetGo(*tables[t]);
    }
  }
  EXPECT_GT(cache->counters().hits, 0u);
}

TEST(RecordCacheTest, RowsThatAreExpectedAreOnTheirWayBeforeTheyAreAskedFor) {
  const Disk disk(40);
  const auto cache = disk.Cache();
  Table* table = cache->Add(Disk::Spec(Range(0, 20)));
  cache->Add(Disk::Spec(Range(20, 40)));
  OpenWith(*cache, 30);
  cache->Expect(*table, Range(5, 20));  // beside any table there is room for ten
  EXPECT_EQ(cache->counters().expected, 10u);
  Use(*cache, *table, Range(5, 15));
  EXPECT_EQ(cache->counters().misses, 0u);
  EXPECT_EQ(cache->counters().hits, 10u);
  EXPECT_TRUE(disk.Holds(table->places()[14], 14));
}

TEST(RecordCacheTest, BudgetBelowTheLargestTableIsRefusedWithWhatItTakes) {
  const Disk disk(40);
  const auto cache = disk.Cache();
  cache->Add(Disk::Spec(Range(0, 40)));
  const absl::Status status = cache->Open(cache->least_bytes() - 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr(std::to_string(cache->least_bytes())));
}

TEST(RecordCacheTest, MemoryIsTakenOnceAndStaysBelowTheBudget) {
  const Disk disk(400);
  const auto cache = disk.Cache();
  Table* table = cache->Add(Disk::Spec(Range(0, 100)));
  cache->Add(Disk::Spec(Range(100, 400)));
  const uint64_t budget = cache->least_bytes() + 5000;
  ASSERT_TRUE(cache->Open(budget).ok());
  Use(*cache, *table, Range(0, 100));
  EXPECT_LE(cache->counters().memory_bytes, budget);
}

TEST(RecordCacheTest, DamagedRecordAndFailedReadAreErrorsForGood) {
  for (const bool damaged : {true, false}) {
    Disk disk(40);
    if (damaged) disk.bytes()[5 * kRecord + 8] = 255;
    const auto cache = disk.Cache([&](size_t number, size_t wanted) {
      return !damaged && number == 1 ? -EIO : static_cast<ssize_t>(wanted);
    });
    Table* table = cache->Add(Disk::Spec(Range(0, 20)));
    Table* other = cache->Add(Disk::Spec(Range(20, 40)));
    OpenWith(*cache, 20);
    Use(*cache, *table, {1});
    ASSERT_TRUE(cache->Ask(*table, {4, 5, 6}, false).ok());
    const absl::Status status = cache->Wait(*table);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(status.message(), HasSubstr(damaged ? "layer 7: a neuron" : "Input/output error"));
    EXPECT_EQ(cache->Ask(*other, {0}, false), status);
  }
}

// Whatever is asked for, in whatever order reads come and however short they are: every row that was waited
// for is the file's, and no slot is another's.
TEST(RecordCacheTest, BehavesAsIfEverythingWereInMemory) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    const Disk disk(600);
    const auto cache = disk.Cache(
        [&](size_t, size_t wanted) {
          return static_cast<ssize_t>(wanted > 1024 && random() % 4 == 0 ? wanted / 2 : wanted);
        },
        [&](size_t waiting) { return random() % waiting; });
    std::vector<uint32_t> numbers = Range(0, 600);
    if (seed % 2 == 0) std::shuffle(numbers.begin(), numbers.end(), random);
    std::vector<Table*> tables;
    for (size_t t = 0; t < 6; ++t)
      tables.push_back(cache->Add(Disk::Spec({numbers.begin() + static_cast<ptrdiff_t>(100 * t),
                                              numbers.begin() + static_cast<ptrdiff_t>(100 * t + 100)})));
    OpenWith(*cache, 100 + random() % 500);
    std::vector<std::vector<uint32_t>> asked(6);
    for (int step = 0; step < 200; ++step) {
      const size_t t = random() % 6;
      if (!cache->asked(*tables[t])) {
        std::vector<uint32_t> rows;
        const uint64_t share = random() % 100;
        for (uint32_t i = 0; i < 100; ++i) {
          if (random() % 100 < share) rows.push_back(i);
        }
        if (random() % 3 == 0) cache->Expect(*tables[t], Range(0, static_cast<uint32_t>(random() % 100)));
        if (!cache->HasRoom(rows.size())) continue;
        ASSERT_TRUE(cache->Ask(*tables[t], rows, random() % 2 == 0).ok());
        asked[t] = rows;
        continue;
      }
      ASSERT_TRUE(cache->Wait(*tables[t]).ok());
      for (const uint32_t row : asked[t])
        ASSERT_TRUE(disk.Holds(tables[t]->places()[row], numbers[100 * t + row]));
      cache->LetGo(*tables[t]);
    }
    std::set<const uint8_t*> slots;
    size_t there = 0;
    for (Table* table : tables) {
      for (size_t row = 0; row < table->rows(); ++row) {
        if (table->places()[row] == nullptr) continue;
        ++there;
        slots.insert(table->places()[row]);
      }
    }
    EXPECT_EQ(slots.size(), there);
    EXPECT_LE(there, cache->slots());
  }
}

}  // namespace
}  // namespace hearth
