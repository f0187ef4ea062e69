#ifndef HEARTH_TESTS_CUDA_EMU_WARP_H_
#define HEARTH_TESTS_CUDA_EMU_WARP_H_

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/location.h"

// The warp operations behind CUDA's names: each lane brings some words, the last one to come combines them.
namespace hearth::cuda_emu::internal {

// Each lane takes what the lane named by its argument gives: one word, or two.
void CombineShuffle(LaneWords* lanes, uint32_t mask);
void CombineShuffleTwo(LaneWords* lanes, uint32_t mask);
// Each lane takes one bit of every lane.
void CombineBallot(LaneWords* lanes, uint32_t mask);
// Each lane gives a[4], b[2], d[4] and takes d[4]; see MmaS8, MmaF16 and MmaBf16.
void CombineMmaS8(LaneWords* lanes, uint32_t mask);
void CombineMmaF16(LaneWords* lanes, uint32_t mask);
void CombineMmaBf16(LaneWords* lanes, uint32_t mask);

// The calling thread's place in its warp.
inline int Lane() { return static_cast<int>(current_thread->linear & 31u); }

// The lanes that the shuffles read from; `width` is a power of two up to 32.
inline int ShuffleSource(int source, int width) { return (Lane() & ~(width - 1)) + (source & (width - 1)); }
inline int ShuffleXorSource(int lane_mask, int width) {
  const int source = Lane() ^ lane_mask;
  return source < (Lane() & ~(width - 1)) + width ? source : Lane();
}
inline int ShuffleDownSource(unsigned delta, int width) {
  const unsigned source = static_cast<unsigned>(Lane() & (width - 1)) + delta;
  return source < static_cast<unsigned>(width) ? Lane() + static_cast<int>(delta) : Lane();
}
inline int ShuffleUpSource(unsigned delta, int width) {
  return delta <= static_cast<unsigned>(Lane() & (width - 1)) ? Lane() - static_cast<int>(delta) : Lane();
}

// The value that lane `source` brings to this same shuffle.
template <class T>
T Shuffle(const char* name, Location where, uint32_t mask, T value, int source) {
  static_assert(std::is_trivially_copyable_v<T>, "a shuffle moves bytes");
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves one word or two");
  uint32_t given[2] = {};
  uint32_t taken[2] = {};
  std::memcpy(given, &value, sizeof value);
  SyncWarp({name,
            where,
            mask,
            sizeof(T) == 4 ? CombineShuffle : CombineShuffleTwo,
            {given, taken, source},
            false});
  std::memcpy(&value, taken, sizeof value);
  return value;
}

// The lanes whose predicate holds.
inline uint32_t Ballot(const char* name, Location where, uint32_t mask, bool predicate) {
  const uint32_t given = predicate;
  uint32_t taken = 0;
  SyncWarp({name, where, mask, CombineBallot, {&given, &taken, 0}, false});
  return taken;
}

// One lane's part of a product of fragments.
template <class T>
void Mma(const char* name, Location where, T (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
         CombineLanes combine) {
  static_assert(sizeof(T) == 4, "accumulators are words");
  uint32_t given[10];
  uint32_t taken[4] = {};
  std::memcpy(given, a, sizeof a);
  std::memcpy(given + 4, b, sizeof b);
  std::memcpy(given + 6, d, sizeof d);
  SyncWarp({name, where, ~0u, combine, {given, taken, 0}, false});
  std::memcpy(d, taken, sizeof d);
}

}  // namespace hearth::cuda_emu::internal

#endif  // HEARTH_TESTS_CUDA_EMU_WARP_H_
