// cp.async: what a thread has started arrives when it waits.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/block_state.h"

namespace hearth::cuda_emu::internal {

void StartAsyncCopy(void* shared, const void* global, Location where) {
  const auto address_bits = reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global);
  if (address_bits % 16 != 0) FailKernel(where, "an address of CopyAsync16 is not a multiple of 16");
  if (!block.shared.Holds(shared, 16)) FailKernel(where, "the target of CopyAsync16 is not in shared memory");
  memset(shared, 0xff, 16);
  block.threads[current_thread->linear].copies.push_back({shared, global, where});
}

void CommitAsyncCopies() {
  Thread& thread = block.threads[current_thread->linear];
  thread.groups.push_back(thread.copies.size());
}

void FinishAsyncCopies(size_t pending_groups) {
  Thread& thread = block.threads[current_thread->linear];
  if (thread.groups.size() <= pending_groups) return;
  const size_t finished_groups = thread.groups.size() - pending_groups;
  const size_t finished = thread.groups[finished_groups - 1];
  for (size_t i = 0; i < finished; i++) memcpy(thread.copies[i].shared, thread.copies[i].global, 16);
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + static_cast<ptrdiff_t>(finished));
  thread.groups.erase(thread.groups.begin(), thread.groups.begin() + static_cast<ptrdiff_t>(finished_groups));
  for (size_t& end : thread.groups) end -= finished;
}

}  // namespace hearth::cuda_emu::internal
