#include "tests/cuda_emu/device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/cuda_emu/sanitizers.h"

namespace hearth::cuda_emu::internal {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kPoisonBytes = size_t{2} << 20;

constexpr size_t RoundUp(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// A file of kPoisonBytes times 0xff, or -1.
int MakePoisonFile() {
  const int file = memfd_create("hearth_cuda_emulator", MFD_CLOEXEC);
  if (file < 0) return -1;
  const std::vector<char> poison(kPoisonBytes, '\xff');
  if (write(file, poison.data(), poison.size()) == static_cast<ssize_t>(poison.size())) return file;
  close(file);
  return -1;
}

bool IsPoison(const char* begin, const char* end) {
  return std::all_of(begin, end, [](char byte) { return byte == '\xff'; });
}

}  // namespace

DeviceMemory::DeviceMemory() : page_bytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
  if (kAddressSanitizer) return;
  poison_file_ = MakePoisonFile();
  if (poison_file_ < 0) {
    perror("cuda emulator: no memory for the devices");
    abort();
  }
}

bool DeviceMemory::Map(Allocation& allocation) {
  const size_t data_bytes = RoundUp(allocation.bytes, kAlignment);
  allocation.mapping_bytes = RoundUp(data_bytes, page_bytes_);
  const size_t with_guards = allocation.mapping_bytes + 2 * page_bytes_;
  void* reserved = mmap(nullptr, with_guards, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return false;
  allocation.mapping = static_cast<char*>(reserved) + page_bytes_;
  allocation.data = allocation.mapping + allocation.mapping_bytes - data_bytes;
  for (size_t at = 0; at < allocation.mapping_bytes; at += kPoisonBytes) {
    const size_t bytes = std::min(kPoisonBytes, allocation.mapping_bytes - at);
    if (mmap(allocation.mapping + at, bytes, PROT_NONE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, poison_file_,
             0) == MAP_FAILED) {
      munmap(reserved, with_guards);
      return false;
    }
  }
  return true;
}

void* DeviceMemory::Allocate(int device, size_t bytes) {
  Allocation allocation;
  allocation.bytes = bytes;
  allocation.device = device;
  if (kAddressSanitizer || device == Allocation::kHost) {
    void* data = nullptr;
    if (posix_memalign(&data, kAlignment, bytes) != 0) return nullptr;
    memset(data, 0xff, bytes);
    allocation.data = static_cast<char*>(data);
  } else if (!Map(allocation)) {
    return nullptr;
  }
  used_bytes_[device] += bytes;
  allocations_[allocation.data] = allocation;
  return allocation.data;
}

bool DeviceMemory::Free(void* data, bool of_host, bool* overwritten) {
  const auto found = allocations_.find(static_cast<char*>(data));
  if (found == allocations_.end()) return false;
  const Allocation allocation = found->second;
  if ((allocation.device == Allocation::kHost) != of_host) return false;
  *overwritten = false;
  if (allocation.mapping == nullptr) {
    free(allocation.data);
  } else {
    mprotect(allocation.mapping, allocation.mapping_bytes, PROT_READ);
    *overwritten =
        !IsPoison(allocation.mapping, allocation.data) ||
        !IsPoison(allocation.data + allocation.bytes, allocation.mapping + allocation.mapping_bytes);
    munmap(allocation.mapping - page_bytes_, allocation.mapping_bytes + 2 * page_bytes_);
  }
  used_bytes_[allocation.device] -= allocation.bytes;
  allocations_.erase(found);
  return true;
}

const Allocation* DeviceMemory::Find(const void* address) const {
  auto next = allocations_.upper_bound(static_cast<const char*>(address));
  if (next == allocations_.begin()) return nullptr;
  const Allocation& before = std::prev(next)->second;
  return address <= before.data + before.bytes ? &before : nullptr;
}

size_t DeviceMemory::used_bytes(int device) const {
  const auto found = used_bytes_.find(device);
  return found == used_bytes_.end() ? 0 : found->second;
}

void DeviceMemory::Open(int device, int other_device) {
  const auto is_wanted = [&](int candidate) { return candidate == device || candidate == other_device; };
  if (is_wanted(open_) && is_wanted(other_open_) && IsOpen(device) && IsOpen(other_device)) return;
  for (const auto& [start, allocation] : allocations_) {
    if (allocation.mapping == nullptr || IsOpen(allocation.device) == is_wanted(allocation.device)) continue;
    const int protection = is_wanted(allocation.device) ? PROT_READ | PROT_WRITE : PROT_NONE;
    if (mprotect(allocation.mapping, allocation.mapping_bytes, protection) == 0) continue;
    perror("cuda emulator: cannot change the protection of device memory");
    abort();
  }
  open_ = device;
  other_open_ = other_device;
}

const char* DeviceMemory::ExplainFault(const void* address) const {
  for (const auto& [start, allocation] : allocations_) {
    if (allocation.mapping == nullptr) continue;
    if (address < allocation.mapping - page_bytes_) continue;
    if (address >= allocation.mapping + allocation.mapping_bytes + page_bytes_) continue;
    if (address >= allocation.mapping + allocation.mapping_bytes)
      return "past the end of an allocation of device memory";
    if (address < allocation.mapping) return "before the start of an allocation of device memory";
    return "in device memory";
  }
  return nullptr;
}

}  // namespace hearth::cuda_emu::internal
