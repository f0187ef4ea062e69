#include "engine/disk/record_cache.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/base/timeline.h"

namespace hearth {
namespace {

constexpr size_t kSlotAlignment = 64;
// What a record that is not wanted may have to be read all the same: sooner than another read is made.
constexpr uint64_t kMostGapBytes = 16 << 10;
// What is known of a record, and of a slot, beside its bytes.
constexpr uint64_t kBytesPerRecord = sizeof(uint8_t*) + 3 * sizeof(uint32_t);
constexpr uint64_t kBytesPerSlot = 24;

}  // namespace

RecordCache::Table* RecordCache::Add(TableSpec spec) {
  HEARTH_CHECK(uses_.empty() && spec.skip < spec.record_bytes && spec.record_bytes <= reader_->most_bytes());
  Table& table = tables_.emplace_back();
  table.number_ = tables_.size() - 1;
  table.places_.resize(spec.numbers.size());
  table.slots_.assign(spec.numbers.size(), kNone);
  records_ += spec.numbers.size();
  largest_table_ = std::max(largest_table_, spec.numbers.size());
  slot_bytes_ =
      std::max(slot_bytes_, (spec.slot_bytes + kSlotAlignment - 1) / kSlotAlignment * kSlotAlignment);
  table.spec_ = std::move(spec);
  return &table;
}

uint64_t RecordCache::overhead_bytes() const { return reader_->memory_bytes() + records_ * kBytesPerRecord; }

uint64_t RecordCache::bytes_per_slot() const { return slot_bytes_ + kBytesPerSlot; }

uint64_t RecordCache::least_bytes() const { return overhead_bytes() + largest_table_ * bytes_per_slot(); }

absl::Status RecordCache::Open(uint64_t bytes) {
  HEARTH_CHECK(uses_.empty() && records_ > 0);
  if (bytes < least_bytes()) {
    return absl::ResourceExhaustedError(absl::StrCat("neurons on the disk take at least ", least_bytes(),
                                                     " bytes of memory, ", bytes, " are left for them"));
  }
  all_rows_.resize(largest_table_);
  std::iota(all_rows_.begin(), all_rows_.end(), 0u);
  const uint64_t fit = (bytes - overhead_bytes()) / bytes_per_slot();
  const auto slots = static_cast<size_t>(std::min<uint64_t>(fit, records_));
  HEARTH_ASSIGN_OR_RETURN(memory_, WeightMemory::Allocate(slots * slot_bytes_));
  owners_.resize(slots);
  uses_.resize(slots);
  pins_.resize(slots);
  return absl::OkStatus();
}

absl::Status RecordCache::Ask(Table& table, absl::Span<const uint32_t> rows, bool passing) {
  HEARTH_RETURN_IF_ERROR(failure_);
  HEARTH_CHECK(!table.busy_ && HasRoom(rows.size()));
  table.busy_ = true;
  table.asked_.assign(rows.begin(), rows.end());
  table.missing_ = 0;
  std::vector<uint32_t> missing;
  for (const uint32_t row : rows) {
    const uint32_t slot = table.slots_[row];
    if (slot == kNone) {
      missing.push_back(row);
      continue;
    }
    if ((pins_[slot] & kReading) != 0) ++table.missing_;
    Pin(slot, kAsked);
    if (uses_[slot] < kMostUses) ++uses_[slot];
  }
  counters_.hits += rows.size() - missing.size();
  counters_.misses += missing.size();
  for (const uint32_t row : missing) Pin(Place(table, row, passing ? 0 : 1), kAsked);
  table.missing_ += missing.size();
  AddReads(table, std::move(missing));
  StartReads();
  return absl::OkStatus();
}

void RecordCache::Expect(Table& table, absl::Span<const uint32_t> rows) {
  if (!failure_.ok() || table.busy_) return;
  std::vector<uint32_t> missing;
  for (const uint32_t row : rows) {
    if (table.slots_[row] != kNone) continue;
    if (!HasRoom(largest_table_ + 1)) break;
    Place(table, row, 0);
    missing.push_back(row);
  }
  counters_.expected += missing.size();
  AddReads(table, std::move(missing));
  StartReads();
}

uint32_t RecordCache::Place(Table& table, uint32_t row, uint8_t uses) {
  const uint32_t slot = TakeSlot();
  owners_[slot] = {&table, row};
  uses_[slot] = uses;
  table.slots_[row] = slot;
  table.places_[row] = SlotAt(slot);
  Pin(slot, kReading);
  return slot;
}

void RecordCache::Pin(uint32_t slot, uint8_t reason) {
  if (pins_[slot] == 0 && uses_[slot] != kKept) ++pinned_;
  pins_[slot] |= reason;
}

void RecordCache::Unpin(uint32_t slot, uint8_t reason) {
  pins_[slot] &= static_cast<uint8_t>(~reason);
  if (pins_[slot] == 0 && uses_[slot] != kKept) --pinned_;
}

// The next slot that nothing needs. There is one: HasRoom has been asked.
uint32_t RecordCache::TakeSlot() {
  if (used_slots_ < slots()) return static_cast<uint32_t>(used_slots_++);
  for (;; hand_ = (hand_ + 1) % slots()) {
    if (pins_[hand_] != 0 || uses_[hand_] == kKept) continue;
    if (uses_[hand_] > 0) {
      --uses_[hand_];
      continue;
    }
    const auto slot = static_cast<uint32_t>(hand_);
    const Owner& owner = owners_[slot];
    owner.table->slots_[owner.row] = kNone;
    owner.table->places_[owner.row] = nullptr;
    ++counters_.evictions;
    hand_ = (hand_ + 1) % slots();
    return slot;
  }
}

// In the order of the file, neighbours together.
void RecordCache::AddReads(Table& table, std::vector<uint32_t> rows) {
  const std::vector<uint32_t>& numbers = table.spec_.numbers;
  const size_t bytes = table.spec_.record_bytes;
  std::sort(rows.begin(), rows.end(), [&](uint32_t a, uint32_t b) { return numbers[a] < numbers[b]; });
  for (size_t begin = 0, end; begin < rows.size(); begin = end) {
    const uint64_t first = numbers[rows[begin]];
    for (end = begin + 1; end < rows.size(); ++end) {
      const uint64_t gap = (numbers[rows[end]] - numbers[rows[end - 1]] - 1) * uint64_t{bytes};
      const uint64_t all = (numbers[rows[end]] - first + 1) * bytes;
      if (gap > kMostGapBytes || all > reader_->most_bytes()) break;
    }
    waiting_.push_back(
        {&table, {rows.begin() + static_cast<ptrdiff_t>(begin), rows.begin() + static_cast<ptrdiff_t>(end)}});
  }
}

void RecordCache::StartReads() {
  bool started = false;
  for (; !waiting_.empty() && reader_->can_start(); waiting_.pop_front(), started = true) {
    Run& run = waiting_.front();
    const TableSpec& spec = run.table->spec_;
    const uint64_t first = spec.numbers[run.rows.front()], last = spec.numbers[run.rows.back()];
    size_t tag = in_flight_.size();
    if (!free_tags_.empty()) {
      tag = free_tags_.back();
      free_tags_.pop_back();
    } else {
      in_flight_.emplace_back();
    }
    reader_->Start(spec.offset + first * spec.record_bytes + spec.skip,
                   (last - first + 1) * spec.record_bytes - spec.skip, tag);
    run.begin = Clock::now();
    in_flight_[tag] = std::move(run);
  }
  if (started) reader_->Flush();
}

absl::Status RecordCache::FinishRead() {
  HEARTH_ASSIGN_OR_RETURN(const DiskReader::Done done, reader_->Finish());
  const Run run = std::move(in_flight_[done.tag]);
  free_tags_.push_back(done.tag);
  const TableSpec& spec = run.table->spec_;
  if (Timeline* timeline = Timeline::Current(); timeline != nullptr)
    timeline->Add({Timeline::Kind::kRead, "disk", spec.name, run.begin, {}, done.bytes.size()});
  const uint64_t first = spec.numbers[run.rows.front()];
  for (const uint32_t row : run.rows) {
    const uint8_t* bytes = done.bytes.data() + (spec.numbers[row] - first) * spec.record_bytes;
    if (!spec.place(bytes, SlotAt(run.table->slots_[row]))) {
      return absl::DataLossError(absl::StrCat(spec.name,
                                              ": a neuron read from the disk is damaged; copy the file "
                                              "again, or pack the model again"));
    }
  }
  for (const uint32_t row : run.rows) {
    const uint32_t slot = run.table->slots_[row];
    if ((pins_[slot] & kAsked) != 0) --run.table->missing_;
    Unpin(slot, kReading);
  }
  return absl::OkStatus();
}

absl::Status RecordCache::Wait(Table& table) {
  HEARTH_RETURN_IF_ERROR(failure_);
  HEARTH_CHECK(table.busy_);
  if (table.missing_ == 0) return absl::OkStatus();
  const Timeline::Span span(Timeline::Kind::kAwaited, "disk", [&] { return table.spec_.name; });
  const Clock::time_point start = Clock::now();
  while (table.missing_ > 0 && failure_.ok()) {
    failure_ = FinishRead();
    StartReads();
  }
  counters_.wait_us += static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count());
  return failure_;
}

void RecordCache::LetGo(Table& table) {
  HEARTH_CHECK(table.busy_ && (table.missing_ == 0 || !failure_.ok()));
  for (const uint32_t row : table.asked_) Unpin(table.slots_[row], kAsked);
  table.busy_ = false;
}

absl::Status RecordCache::AskAhead(const Table& table) {
  if (!table.spec_.always) return absl::OkStatus();
  for (size_t i = 1; i < tables_.size(); ++i) {
    Table& next = tables_[(table.number_ + i) % tables_.size()];
    if (next.busy_) continue;
    if (!next.spec_.always || !HasRoom(next.rows() + largest_table_)) break;
    HEARTH_RETURN_IF_ERROR(Ask(next, absl::MakeConstSpan(all_rows_).first(next.rows()), /*passing=*/true));
  }
  return absl::OkStatus();
}

absl::Status RecordCache::KeepWhatFits() {
  constexpr size_t kTablesInTurn = 4;
  const auto always = [](const Table& table) { return table.spec_.always; };
  if (!std::all_of(tables_.begin(), tables_.end(), always)) return absl::OkStatus();
  const size_t turning = std::min(slots(), kTablesInTurn * largest_table_);
  const double share =
      slots() == records_ ? 1.0 : static_cast<double>(slots() - turning) / static_cast<double>(records_);
  for (Table& table : tables_) {
    const auto kept = static_cast<size_t>(share * static_cast<double>(table.rows()));
    HEARTH_RETURN_IF_ERROR(Keep(table, absl::MakeConstSpan(all_rows_).first(kept)));
  }
  return absl::OkStatus();
}

absl::Status RecordCache::ReadMostFrequent() {
  std::vector<Table*> order;
  for (Table& table : tables_) {
    if (table.spec_.frequency < 1) order.push_back(&table);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Table* a, const Table* b) { return a->spec_.frequency > b->spec_.frequency; });
  size_t left = slots() - slots() / 8;
  for (Table* table : order) {
    const size_t count = std::min(table->rows(), left);
    left -= count;
    HEARTH_RETURN_IF_ERROR(Ask(*table, absl::MakeConstSpan(all_rows_).first(count), /*passing=*/false));
    HEARTH_RETURN_IF_ERROR(Wait(*table));
    LetGo(*table);
  }
  return absl::OkStatus();
}

absl::Status RecordCache::Keep(Table& table, absl::Span<const uint32_t> rows) {
  HEARTH_RETURN_IF_ERROR(Ask(table, rows, /*passing=*/true));
  HEARTH_RETURN_IF_ERROR(Wait(table));
  for (const uint32_t row : rows) {  // they stay counted as pinned
    uses_[table.slots_[row]] = kKept;
    pins_[table.slots_[row]] = 0;
  }
  table.busy_ = false;
  return absl::OkStatus();
}

DiskCounters RecordCache::counters() const {
  DiskCounters counters = counters_;
  counters.memory_bytes = memory_.size() + overhead_bytes();
  counters.reads = reader_->reads();
  counters.bytes_read = reader_->bytes_read();
  return counters;
}

}  // namespace hearth
