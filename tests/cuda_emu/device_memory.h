#ifndef HEARTH_TESTS_CUDA_EMU_DEVICE_MEMORY_H_
#define HEARTH_TESTS_CUDA_EMU_DEVICE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace hearth::cuda_emu::internal {

// Memory that the runtime gave out.
struct Allocation {
  char* data = nullptr;
  size_t bytes = 0;
  int device = kHost;
  char* mapping =
      nullptr;  // whole pages that hold the data at their end, with a guard page on each side; null: heap
  size_t mapping_bytes = 0;

  static constexpr int kHost = -1;
};

// All device and pinned host memory. A device's memory is inaccessible but between Open and Close, so that
// host code which touches it faults; each allocation begins as bytes of 0xff and is followed by an
// inaccessible page. With AddressSanitizer it is heap memory between red zones instead, and open to the host.
// Not thread-safe.
class DeviceMemory {
 public:
  DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // Memory of a device, aligned to 256 bytes, or of the host (Allocation::kHost); null: none is left.
  void* Allocate(int device, size_t bytes);

  // Gives back what starts at `data` and is a device's, or the host's. False: nothing does. `overwritten`
  // becomes true if somebody wrote beside it.
  bool Free(void* data, bool of_host, bool* overwritten);

  // The allocation that holds the address, or which ends there; null: none.
  const Allocation* Find(const void* address) const;

  // Live allocations, and the bytes of a device's.
  size_t count() const { return allocations_.size(); }
  size_t used_bytes(int device) const;

  // Makes the memory of these two devices accessible, no others'. Allocation::kHost stands for none.
  void Open(int device, int other_device);
  void Close() { Open(Allocation::kHost, Allocation::kHost); }

  // What a fault at this address means in words; null: it has nothing to do with the device's memory.
  const char* ExplainFault(const void* address) const;

 private:
  bool IsOpen(int device) const { return device == open_ || device == other_open_; }
  bool Map(Allocation& allocation);

  std::map<const char*, Allocation> allocations_;  // by their start
  std::map<int, size_t> used_bytes_;
  int open_ = Allocation::kHost;
  int other_open_ = Allocation::kHost;
  size_t page_bytes_;
  int poison_file_ =
      -1;  // kPoisonBytes of 0xff, mapped copy-on-write: big allocations cost what is written of them
};

}  // namespace hearth::cuda_emu::internal

#endif  // HEARTH_TESTS_CUDA_EMU_DEVICE_MEMORY_H_
