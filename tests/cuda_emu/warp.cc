#include "tests/cuda_emu/warp.h"

#include <cstdint>

#include "tests/cuda_emu/half.h"
#include "tests/cuda_emu/sanitizers.h"

namespace hearth::cuda_emu::internal {
namespace {

// Fragments of 16-bit elements: row and column of an element follow from the lane and the register.
template <float (*ToFloat)(uint16_t)>
HEARTH_EMULATOR_UNCHECKED void CombineMma16(LaneWords* lanes) {
  float a[16][16];  // (m, k)
  float b[8][16];   // (n, k)
  for (int lane = 0; lane < 32; lane++) {
    const int group = lane >> 2;
    for (int half = 0; half < 2; half++) {
      const int k = (lane & 3) * 2 + half;
      for (int r = 0; r < 4; r++) {
        a[group + (r & 1) * 8][k + (r >> 1) * 8] =
            ToFloat(static_cast<uint16_t>(lanes[lane].given[r] >> 16 * half));
      }
      for (int r = 0; r < 2; r++) {
        b[group][k + r * 8] = ToFloat(static_cast<uint16_t>(lanes[lane].given[4 + r] >> 16 * half));
      }
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 4; i++) {
      const int row = (lane >> 2) + (i >> 1) * 8;
      const int column = (lane & 3) * 2 + (i & 1);
      double sum = 0;
      for (int k = 0; k < 16; k++) sum += static_cast<double>(a[row][k]) * b[column][k];
      const uint32_t accumulated = lanes[lane].given[6 + i];
      sum += BitCast<float>(accumulated);
      lanes[lane].taken[i] = BitCast<uint32_t>(static_cast<float>(sum));
    }
  }
}

}  // namespace

HEARTH_EMULATOR_UNCHECKED void CombineShuffle(LaneWords* lanes, uint32_t mask) {
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const LaneWords& lane = lanes[__builtin_ctz(left)];
    lane.taken[0] = (mask >> lane.argument & 1) != 0 ? lanes[lane.argument].given[0] : ~0u;
  }
}

HEARTH_EMULATOR_UNCHECKED void CombineShuffleTwo(LaneWords* lanes, uint32_t mask) {
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const LaneWords& lane = lanes[__builtin_ctz(left)];
    const bool takes = (mask >> lane.argument & 1) != 0;
    for (int i = 0; i < 2; i++) lane.taken[i] = takes ? lanes[lane.argument].given[i] : ~0u;
  }
}

HEARTH_EMULATOR_UNCHECKED void CombineBallot(LaneWords* lanes, uint32_t mask) {
  uint32_t votes = 0;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    votes |= lanes[__builtin_ctz(left)].given[0] << __builtin_ctz(left);
  }
  for (uint32_t left = mask; left != 0; left &= left - 1) lanes[__builtin_ctz(left)].taken[0] = votes;
}

HEARTH_EMULATOR_UNCHECKED void CombineMmaS8(LaneWords* lanes, uint32_t /*mask*/) {
  int8_t a[16][32];  // (m, k)
  int8_t b[8][32];   // (n, k)
  for (int lane = 0; lane < 32; lane++) {
    const int group = lane >> 2;
    for (int byte = 0; byte < 4; byte++) {
      const int k = (lane & 3) * 4 + byte;
      for (int r = 0; r < 4; r++) {
        a[group + (r & 1) * 8][k + (r >> 1) * 16] = static_cast<int8_t>(lanes[lane].given[r] >> 8 * byte);
      }
      for (int r = 0; r < 2; r++)
        b[group][k + r * 16] = static_cast<int8_t>(lanes[lane].given[4 + r] >> 8 * byte);
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 4; i++) {
      const int row = (lane >> 2) + (i >> 1) * 8;
      const int column = (lane & 3) * 2 + (i & 1);
      int product = 0;
      for (int k = 0; k < 32; k++) product += a[row][k] * b[column][k];
      lanes[lane].taken[i] = lanes[lane].given[6 + i] + static_cast<uint32_t>(product);
    }
  }
}

void CombineMmaF16(LaneWords* lanes, uint32_t /*mask*/) { CombineMma16<HalfToFloat>(lanes); }
void CombineMmaBf16(LaneWords* lanes, uint32_t /*mask*/) { CombineMma16<Bfloat16ToFloat>(lanes); }

}  // namespace hearth::cuda_emu::internal
