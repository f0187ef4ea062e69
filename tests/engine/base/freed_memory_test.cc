#include "engine/base/freed_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <memory>
#include <vector>

#include "tests/support/sanitizers.h"

namespace hearth {
namespace {

size_t ResidentBytes() {
  size_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

TEST(FreedMemoryTest, PagesBetweenPiecesInUseGoBackToTheSystem) {
#if HEARTH_SANITIZED
  GTEST_SKIP() << "sanitizers have allocators of their own";
#endif
  constexpr size_t kPiece = 16 << 10, kPieces = 4096;
  std::vector<std::unique_ptr<char[]>> pieces;
  for (size_t i = 0; i < kPieces; ++i) pieces.push_back(std::make_unique<char[]>(kPiece));  // writes zeros
  for (size_t i = 0; i < kPieces; ++i) {
    if (i % 16 != 15) pieces[i].reset();
  }
  const size_t before = ResidentBytes();
  ReturnFreedMemory();
  EXPECT_LE(ResidentBytes() + kPiece * kPieces / 2, before);
}

}  // namespace
}  // namespace hearth
