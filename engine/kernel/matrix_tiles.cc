#include "engine/kernel/matrix_tiles.h"

#include <atomic>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace hearth {
namespace {

#if defined(__x86_64__) && defined(__linux__)
bool RequestMatrixTiles() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  if ((edx & kTile) == 0 || (edx & kInt8) == 0) return false;
  // Linux gives the large register state only to processes that ask for it.
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#else
bool RequestMatrixTiles() { return false; }
#endif

std::atomic<bool> disabled_for_test{false};

}  // namespace

bool HasMatrixTiles() {
  static const bool granted = RequestMatrixTiles();
  return granted && !disabled_for_test.load(std::memory_order_relaxed);
}

void DisableMatrixTilesForTest(bool disabled) { disabled_for_test.store(disabled); }

}  // namespace hearth
