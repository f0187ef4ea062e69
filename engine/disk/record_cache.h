#ifndef HEARTH_ENGINE_DISK_RECORD_CACHE_H_
#define HEARTH_ENGINE_DISK_RECORD_CACHE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/disk/disk_counters.h"
#include "engine/disk/disk_reader.h"
#include "engine/kernel/weight_memory.h"

namespace hearth {

// Records of a file, of which as many as a budget allows are in memory: in slots of one size, so that what is
// taken never grows. Records belong to tables. Whoever computes with some of a table's asks for them, waits,
// computes and lets go; between asking and letting go they stay. Reads of records that are neighbours in the
// file are one read, and those of several tables go on at the same time.
//
// A slot that is needed is taken from the record that the CLOCK's hand meets first without a use left: every
// use gives a record one, up to kMostUses, and every pass of the hand takes one away. So what is used often
// stays, whatever passes through once; what should stay in any case is kept (Keep).
//
// An error is permanent: all later calls give it too. Used by one thread.
class RecordCache {
 public:
  // Some records in the order of their rows: row i is record numbers[i] of a run of records that begins at
  // `offset` in the file, record_bytes each.
  struct TableSpec {
    std::string name;  // for errors
    uint64_t offset = 0;
    size_t record_bytes = 0;
    std::vector<uint32_t> numbers;
    bool always = false;    // its rows are always asked for all together, after those of the table before it
    size_t skip = 0;        // of a record, bytes at its start that are not wanted
    float frequency = 1;    // share of tokens for which a row is asked for; 1: unknown
    size_t slot_bytes = 0;  // that a record takes in memory
    // Puts a record's wanted bytes, to its end, into a slot, in the form in which it is used; false where
    // they are not what was written.
    std::function<bool(const uint8_t* bytes, uint8_t* slot)> place;
  };

  class Table {
   public:
    // Where each row's slot is; null of those that are not in memory. Valid for rows asked for, after Wait.
    const uint8_t* const* places() const { return places_.data(); }
    size_t rows() const { return places_.size(); }

   private:
    friend class RecordCache;
    TableSpec spec_;
    size_t number_ = 0;  // among the cache's tables
    std::vector<const uint8_t*> places_;
    std::vector<uint32_t> slots_;  // of each row; kNone
    std::vector<uint32_t> asked_;  // rows that stay
    size_t missing_ = 0;           // of them, not there yet
    bool busy_ = false;            // asked, and not let go
  };

  explicit RecordCache(std::unique_ptr<DiskReader> reader) : reader_(std::move(reader)) {}

  // Before Open. The table lives as long as the cache.
  Table* Add(TableSpec spec);
  // Bytes that there are beside the slots: buffers, and what is known of each record.
  uint64_t overhead_bytes() const;
  // The least that Open wants: the largest table must fit.
  uint64_t least_bytes() const;
  // Takes the memory: as many slots as fit `bytes`, or as there are records. RESOURCE_EXHAUSTED, with the
  // bytes that it takes, for less than least_bytes, and where there is no memory.
  absl::Status Open(uint64_t bytes);

  bool is_open() const { return !uses_.empty(); }
  size_t slots() const { return uses_.size(); }
  size_t records() const { return records_; }
  size_t largest_table() const { return largest_table_; }
  // What a slot takes of the budget.
  uint64_t bytes_per_slot() const;
  // Whether so many records more can be asked for without waiting for others to be let go.
  bool HasRoom(size_t records) const { return slots() == records_ || records <= slots() - pinned_; }

  // Asks for rows, which rise; HasRoom for them, and nothing of the table is asked for (CHECK). Reads of
  // those that are missing begin. `passing`: they are not expected to be used again soon.
  absl::Status Ask(Table& table, absl::Span<const uint32_t> rows, bool passing);
  // Whether some of the table's rows are asked for.
  bool asked(const Table& table) const { return table.busy_; }
  // Where all rows of the table that follow `table` are always asked for: asks for those of the next such
  // tables, over and over from the first one, as far as there is room for any other table beside them.
  absl::Status AskAhead(const Table& table);
  // Begins to read rows that may be asked for soon, in their order as many as leave room for any table. They
  // are the first to go. Nothing happens where the table is asked for.
  void Expect(Table& table, absl::Span<const uint32_t> rows);
  // Until all rows that were asked for are there.
  absl::Status Wait(Table& table);
  void LetGo(Table& table);

  // Where everything is always asked for, in turn, what is used longest ago is what is needed next, so
  // nothing that is given up in turn would ever be found: reads as many rows of each table as fit beside a
  // few tables that follow one another, and never gives them up. Nothing happens elsewhere.
  absl::Status KeepWhatFits();
  // Reads the rows of the tables that are asked for most often, where that is known, up to most of the slots.
  absl::Status ReadMostFrequent();

  DiskCounters counters() const;

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint8_t kMostUses = 3;
  static constexpr uint8_t kKept = UINT8_MAX;
  // Why a slot cannot be taken.
  static constexpr uint8_t kAsked = 1;
  static constexpr uint8_t kReading = 2;

  struct Owner {
    Table* table = nullptr;
    uint32_t row = 0;
  };
  // Rows whose records lie one behind another, or nearly, and are read together.
  struct Run {
    Table* table = nullptr;
    std::vector<uint32_t> rows;
    Clock::time_point begin;  // of its read
  };

  absl::Status Keep(Table& table, absl::Span<const uint32_t> rows);
  uint32_t TakeSlot();
  void Pin(uint32_t slot, uint8_t reason);
  void Unpin(uint32_t slot, uint8_t reason);
  // Gives a row a slot, into which it is to be read.
  uint32_t Place(Table& table, uint32_t row, uint8_t uses);
  void AddReads(Table& table, std::vector<uint32_t> rows);
  void StartReads();
  absl::Status FinishRead();
  uint8_t* SlotAt(uint32_t slot) const { return memory_.data() + slot * slot_bytes_; }

  const std::unique_ptr<DiskReader> reader_;
  std::deque<Table> tables_;
  size_t records_ = 0;
  size_t slot_bytes_ = 0;
  size_t largest_table_ = 0;
  std::vector<uint32_t> all_rows_;  // of the largest table: 0, 1, 2, ...
  WeightMemory memory_;
  std::vector<Owner> owners_;  // by slot
  std::vector<uint8_t> uses_;  // by slot
  std::vector<uint8_t> pins_;  // by slot: kAsked, kReading
  size_t pinned_ = 0;          // slots that cannot be taken: asked for, or kept
  size_t used_slots_ = 0;      // the others have never been taken
  size_t hand_ = 0;
  std::deque<Run> waiting_;     // to be read, in this order
  std::vector<Run> in_flight_;  // by tag
  std::vector<size_t> free_tags_;
  absl::Status failure_;
  DiskCounters counters_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DISK_RECORD_CACHE_H_
