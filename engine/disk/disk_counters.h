#ifndef HEARTH_ENGINE_DISK_DISK_COUNTERS_H_
#define HEARTH_ENGINE_DISK_DISK_COUNTERS_H_

#include <cstdint>

namespace hearth {

// What was read from the disk while computing, and what needed not be. All zero where everything is in
// memory.
struct DiskCounters {
  uint64_t hits = 0;          // records that were asked for and in memory
  uint64_t misses = 0;        // and that were not
  uint64_t expected = 0;      // records that were read because they might be asked for
  uint64_t evictions = 0;     // records given up for others
  uint64_t reads = 0;         // requests to the disk
  uint64_t bytes_read = 0;    // whole sectors
  uint64_t wait_us = 0;       // time that computing waited for reads
  uint64_t memory_bytes = 0;  // that records in memory, and buffers, take

  void Add(const DiskCounters& other) {
    hits += other.hits;
    misses += other.misses;
    expected += other.expected;
    evictions += other.evictions;
    reads += other.reads;
    bytes_read += other.bytes_read;
    wait_us += other.wait_us;
    memory_bytes += other.memory_bytes;
  }
  // What has come since `before`; memory as it is.
  DiskCounters Since(const DiskCounters& before) const {
    return {.hits = hits - before.hits,
            .misses = misses - before.misses,
            .expected = expected - before.expected,
            .evictions = evictions - before.evictions,
            .reads = reads - before.reads,
            .bytes_read = bytes_read - before.bytes_read,
            .wait_us = wait_us - before.wait_us,
            .memory_bytes = memory_bytes};
  }
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DISK_DISK_COUNTERS_H_
