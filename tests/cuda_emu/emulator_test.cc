// Kernels that are right give right results in every order; kernels with a planted bug are caught.
#include "tests/cuda_emu/emulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "tests/cuda_emu/emulator_control.h"
#include "tests/cuda_emu/sanitizers.h"
#include "tests/cuda_emu/test_support.h"

namespace hearth::cuda_emu {
namespace {

using internal::kAddressSanitizer;
using internal::kThreadSanitizer;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "emulator_test.cc:12", as reports name a place.
std::string Line(int line) { return "emulator_test.cc:" + std::to_string(line); }

INSTANTIATE_TEST_SUITE_P(Orders, EveryOrderTest, EveryOrder(), OrderName);

// ---- Kernels that are right

__device__ float WarpSum(float value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}

// y[row] = the sum of row `row` of x, (rows, columns); one block of kThreads a row.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    SumRows(const float* __restrict__ x, float* __restrict__ y, int columns) {
  HEARTH_SHARED(float[kThreads / 32], part);
  float sum = 0;
  for (int i = threadIdx.x; i < columns; i += kThreads) sum += __ldg(&x[blockIdx.x * columns + i]);
  sum = WarpSum(sum);
  if (threadIdx.x % warpSize == 0) part[threadIdx.x / warpSize] = sum;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  sum = WarpSum(threadIdx.x < kThreads / 32 ? part[threadIdx.x] : 0.0f);
  if (threadIdx.x == 0) y[blockIdx.x] = sum;
}

TEST_P(EveryOrderTest, SumsOfRowsAreExact) {
  std::vector<float> x(5 * 777);
  std::iota(x.begin(), x.end(), 1.0f);
  std::vector<float> sums(5);
  for (size_t i = 0; i < x.size(); i++) sums[i / 777] += x[i];
  const DeviceArray<float> device_x(x);
  const DeviceArray<float> device_y(5);
  ASSERT_EQ(Launch(SumRows<128>, dim3(5), dim3(128), 0, nullptr, device_x.data(), device_y.data(), 777),
            cudaSuccess);
  EXPECT_EQ(device_y.Read(), sums);
  ASSERT_EQ(Launch(SumRows<1024>, dim3(5), dim3(1024), 0, nullptr, device_x.data(), device_y.data(), 777),
            cudaSuccess);
  EXPECT_EQ(device_y.Read(), sums);
}

__global__ void RecordIndices(uint3* seen) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  seen[block * blockDim.x * blockDim.y * blockDim.z + thread] =
      make_uint3(threadIdx.x + 10 * blockIdx.x, threadIdx.y + 10 * blockIdx.y, threadIdx.z + 10 * blockIdx.z);
}

TEST_P(EveryOrderTest, EveryThreadOfAThreeDimensionalGridRunsOnce) {
  const DeviceArray<uint3> seen(2 * 3 * 2 * 5 * 2 * 3);
  ASSERT_EQ(Launch(RecordIndices, dim3(2, 3, 2), dim3(5, 2, 3), 0, nullptr, seen.data()), cudaSuccess);
  const std::vector<uint3> values = seen.Read();
  for (unsigned i = 0; i < values.size(); i++) {
    const unsigned thread = i % 30;
    const unsigned block = i / 30;
    EXPECT_EQ(values[i].x, thread % 5 + 10 * (block % 2));
    EXPECT_EQ(values[i].y, thread / 5 % 2 + 10 * (block / 2 % 3));
    EXPECT_EQ(values[i].z, thread / 10 + 10 * (block / 6));
  }
}

__global__ void ShuffleAll(int* plain, int* exclusive, int* down, int* up, double* wide, int* narrow) {
  const int lane = threadIdx.x;
  plain[lane] = __shfl_sync(0xffffffffu, lane, 35);
  exclusive[lane] = __shfl_xor_sync(0xffffffffu, lane, 5);
  down[lane] = __shfl_down_sync(0xffffffffu, lane, 30);
  up[lane] = __shfl_up_sync(0xffffffffu, lane, 30);
  wide[lane] = __shfl_sync(0xffffffffu, lane * 1.25, 31 - lane);
  narrow[lane] = __shfl_down_sync(0xffffffffu, lane, 3, 8);
}

TEST_P(EveryOrderTest, ShufflesTakeTheRightLane) {
  const DeviceArray<int> plain(32), exclusive(32), down(32), up(32), narrow(32);
  const DeviceArray<double> wide(32);
  ASSERT_EQ(Launch(ShuffleAll, dim3(1), dim3(32), 0, nullptr, plain.data(), exclusive.data(), down.data(),
                   up.data(), wide.data(), narrow.data()),
            cudaSuccess);
  EXPECT_THAT(plain.Read(), Each(3));
  for (int lane = 0; lane < 32; lane++) {
    const size_t i = static_cast<size_t>(lane);
    EXPECT_EQ(exclusive.Read()[i], lane ^ 5);
    EXPECT_EQ(down.Read()[i], lane + 30 < 32 ? lane + 30 : lane);
    EXPECT_EQ(up.Read()[i], lane >= 30 ? lane - 30 : lane);
    EXPECT_EQ(wide.Read()[i], (31 - lane) * 1.25);
    EXPECT_EQ(narrow.Read()[i], lane % 8 < 5 ? lane + 3 : lane);
  }
}

// The lower and the upper half of a warp each vote on their own.
__global__ void Vote(unsigned* ballots, int* any, int* all) {
  const unsigned lane = threadIdx.x;
  const unsigned mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  ballots[lane] = __ballot_sync(mask, lane % 3 == 0);
  any[lane] = __any_sync(mask, lane == 20);
  all[lane] = __all_sync(mask, lane < 16);
  __syncwarp(mask);
}

TEST_P(EveryOrderTest, HalvesOfAWarpVoteOnTheirOwn) {
  const DeviceArray<unsigned> ballots(32);
  const DeviceArray<int> any(32), all(32);
  ASSERT_EQ(Launch(Vote, dim3(1), dim3(32), 0, nullptr, ballots.data(), any.data(), all.data()), cudaSuccess);
  for (size_t lane = 0; lane < 32; lane++) {
    EXPECT_EQ(ballots.Read()[lane], lane < 16 ? 0x9249u : 0x49240000u);
    EXPECT_EQ(any.Read()[lane], lane < 16 ? 0 : 1);
    EXPECT_EQ(all.Read()[lane], lane < 16 ? 1 : 0);
  }
}

// One warp: c(16, 8) = a(16, 32) * b(8, 32) transposed.
__global__ void MultiplyS8(const int8_t* a, const int8_t* b, int* c) {
  const int group = threadIdx.x >> 2;
  const int in_group = threadIdx.x & 3;
  uint32_t left[4];
  uint32_t right[2];
  int sums[4] = {1000, 1000, 1000, 1000};
  for (int r = 0; r < 4; r++) {
    memcpy(&left[r], a + (group + (r & 1) * 8) * 32 + in_group * 4 + (r >> 1) * 16, 4);
  }
  for (int r = 0; r < 2; r++) memcpy(&right[r], b + group * 32 + in_group * 4 + r * 16, 4);
  MmaS8(sums, left, right);
  for (int i = 0; i < 4; i++) c[(group + (i >> 1) * 8) * 8 + in_group * 2 + (i & 1)] = sums[i];
}

TEST_P(EveryOrderTest, MatrixProductOfBytesEqualsTheScalarOne) {
  std::mt19937 random(3);
  std::vector<int8_t> a(16 * 32), b(8 * 32);
  for (int8_t& value : a) value = static_cast<int8_t>(random());
  for (int8_t& value : b) value = static_cast<int8_t>(random());
  std::vector<int> expected(16 * 8, 1000);
  for (size_t m = 0; m < 16; m++) {
    for (size_t n = 0; n < 8; n++) {
      for (size_t k = 0; k < 32; k++) expected[m * 8 + n] += a[m * 32 + k] * b[n * 32 + k];
    }
  }
  const DeviceArray<int8_t> device_a(a), device_b(b);
  const DeviceArray<int> device_c(16 * 8);
  ASSERT_EQ(
      Launch(MultiplyS8, dim3(1), dim3(32), 0, nullptr, device_a.data(), device_b.data(), device_c.data()),
      cudaSuccess);
  EXPECT_EQ(device_c.Read(), expected);
}

// One warp: c(16, 8) = a(16, 16) * b(8, 16) transposed, of halves or bfloat16.
template <bool kIsHalf>
__global__ void Multiply16(const uint16_t* a, const uint16_t* b, float* c) {
  const int group = threadIdx.x >> 2;
  const int in_group = threadIdx.x & 3;
  uint32_t left[4];
  uint32_t right[2];
  float sums[4] = {0.5f, 0.5f, 0.5f, 0.5f};
  for (int r = 0; r < 4; r++) {
    memcpy(&left[r], a + (group + (r & 1) * 8) * 16 + in_group * 2 + (r >> 1) * 8, 4);
  }
  for (int r = 0; r < 2; r++) memcpy(&right[r], b + group * 16 + in_group * 2 + r * 8, 4);
  if (kIsHalf) {
    MmaF16(sums, left, right);
  } else {
    MmaBf16(sums, left, right);
  }
  for (int i = 0; i < 4; i++) c[(group + (i >> 1) * 8) * 8 + in_group * 2 + (i & 1)] = sums[i];
}

// Small integers: every product and sum is exact in all three formats.
template <bool kIsHalf>
void ExpectMatrixProduct() {
  const auto bits = [](float value) { return kIsHalf ? FloatToHalf(value) : FloatToBfloat16(value); };
  std::mt19937 random(4);
  std::vector<float> a(16 * 16), b(8 * 16);
  for (float& value : a) value = static_cast<float>(static_cast<int>(random() % 41) - 20);
  for (float& value : b) value = static_cast<float>(static_cast<int>(random() % 41) - 20);
  std::vector<float> expected(16 * 8, 0.5f);
  for (size_t m = 0; m < 16; m++) {
    for (size_t n = 0; n < 8; n++) {
      for (size_t k = 0; k < 16; k++) expected[m * 8 + n] += a[m * 16 + k] * b[n * 16 + k];
    }
  }
  std::vector<uint16_t> a_bits(a.size()), b_bits(b.size());
  std::transform(a.begin(), a.end(), a_bits.begin(), bits);
  std::transform(b.begin(), b.end(), b_bits.begin(), bits);
  const DeviceArray<uint16_t> device_a(a_bits), device_b(b_bits);
  const DeviceArray<float> device_c(16 * 8);
  ASSERT_EQ(Launch(Multiply16<kIsHalf>, dim3(1), dim3(32), 0, nullptr, device_a.data(), device_b.data(),
                   device_c.data()),
            cudaSuccess);
  EXPECT_EQ(device_c.Read(), expected);
}

TEST_P(EveryOrderTest, MatrixProductOfHalvesEqualsTheScalarOne) { ExpectMatrixProduct<true>(); }
TEST_P(EveryOrderTest, MatrixProductOfBfloat16EqualsTheScalarOne) { ExpectMatrixProduct<false>(); }

struct Totals {
  int count;
  unsigned bits;
  unsigned long long sum;
  float halves;
  int largest;
};

__global__ void AddUp(Totals* totals) {
  const int number = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&totals->count, 1);
  atomicAdd(&totals->bits, static_cast<unsigned>(__popc(number)));
  atomicAdd(&totals->sum, static_cast<unsigned long long>(number) << 20);
  atomicAdd(&totals->halves, 0.5f);
  atomicMax(&totals->largest, number ^ 1);
  __threadfence();
}

TEST_P(EveryOrderTest, AtomicsOfAllThreadsAddUp) {
  const DeviceArray<Totals> device_totals(std::vector<Totals>{{0, 0, 0, 0, -1}});
  ASSERT_EQ(Launch(AddUp, dim3(4), dim3(64), 0, nullptr, device_totals.data()), cudaSuccess);
  const Totals totals = device_totals.Read()[0];
  EXPECT_EQ(totals.count, 256);
  EXPECT_EQ(totals.bits, 8u * 128);
  EXPECT_EQ(totals.sum, (255ull * 128) << 20);
  EXPECT_EQ(totals.halves, 128.0f);
  EXPECT_EQ(totals.largest, 255);
}

// Reverses x through dynamic shared memory.
__global__ void ReverseInShared(int* x) {
  HEARTH_DYNAMIC_SHARED(int, copy);
  copy[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = copy[blockDim.x - 1 - threadIdx.x];
}

TEST_P(EveryOrderTest, DynamicSharedMemoryIsSharedByTheBlock) {
  const DeviceArray<int> x(std::vector<int>{1, 2, 3, 4, 5});
  ASSERT_EQ(Launch(ReverseInShared, dim3(1), dim3(5), 5 * sizeof(int), nullptr, x.data()), cudaSuccess);
  EXPECT_THAT(x.Read(), ElementsAre(5, 4, 3, 2, 1));
}

// Threads beyond the first warp leave before the barrier, which the others pass twice.
__global__ void ExitEarly(int* passed) {
  if (threadIdx.x >= 32) return;
  __syncthreads();
  __syncthreads();
  passed[threadIdx.x] = 1;
}

TEST_P(EveryOrderTest, ExitedThreadsDoNotCountAtABarrier) {
  const DeviceArray<int> passed(32);
  ASSERT_EQ(Launch(ExitEarly, dim3(1), dim3(100), 0, nullptr, passed.data()), cudaSuccess);
  EXPECT_THAT(passed.Read(), Each(1));
}

// Copies a row of 16-byte pieces in two groups and looks at them after each wait.
__global__ void CopyInGroups(const uint4* source, uint4* after_first, uint4* after_second) {
  HEARTH_SHARED(uint4[64], copy);
  CopyAsync16(&copy[threadIdx.x], &source[threadIdx.x]);
  CopyAsyncCommit();
  CopyAsync16(&copy[threadIdx.x + 32], &source[threadIdx.x + 32]);
  CopyAsyncCommit();
  CopyAsyncWait<1>();
  after_first[threadIdx.x] = copy[threadIdx.x];
  after_first[threadIdx.x + 32] = copy[threadIdx.x + 32];
  CopyAsyncWait<0>();
  __syncthreads();
  after_second[threadIdx.x] = copy[63 - threadIdx.x];
}

TEST_P(EveryOrderTest, AsynchronousCopiesArriveWhenTheirGroupIsWaitedFor) {
  std::vector<uint4> source(64);
  for (unsigned i = 0; i < 64; i++) source[i] = make_uint4(i, i + 1, i + 2, i + 3);
  const DeviceArray<uint4> device_source(source), first(64), second(32);
  ASSERT_EQ(
      Launch(CopyInGroups, dim3(1), dim3(32), 0, nullptr, device_source.data(), first.data(), second.data()),
      cudaSuccess);
  for (unsigned i = 0; i < 32; i++) {
    EXPECT_EQ(first.Read()[i].w, i + 3);
    EXPECT_EQ(first.Read()[i + 32].x, 0xffffffffu);
    EXPECT_EQ(second.Read()[i].x, 63 - i);
  }
}

// ---- Functions of one thread

TEST(DeviceFunctionsTest, HalvesKeepTheirBitsThroughFloat) {
  for (unsigned bits = 0; bits < 65536; bits++) {
    const float value = HalfToFloat(static_cast<uint16_t>(bits));
    EXPECT_EQ(FloatToHalf(value), std::isnan(value) ? 0x7fffu : bits);
    const float wide = Bfloat16ToFloat(static_cast<uint16_t>(bits));
    EXPECT_EQ(FloatToBfloat16(wide), std::isnan(wide) ? 0x7fffu : bits);
  }
}

TEST(DeviceFunctionsTest, HalvesRoundToNearestWithTiesToEven) {
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-11f), 0x3c00u);
  EXPECT_EQ(FloatToHalf(1.0f + 0x3p-11f), 0x3c02u);
  EXPECT_EQ(FloatToHalf(1.0f + 0x1.1p-11f), 0x3c01u);
  EXPECT_EQ(FloatToHalf(65519.0f), 0x7bffu);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00u);
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0u);
  EXPECT_EQ(FloatToHalf(-0x3p-25f), 0x8002u);
  EXPECT_EQ(FloatToBfloat16(1.0f + 0x1p-8f), 0x3f80u);
  EXPECT_EQ(FloatToBfloat16(1.0f + 0x3p-8f), 0x3f82u);
}

TEST(DeviceFunctionsTest, IntegersBehaveAsOnTheDevice) {
  EXPECT_EQ(__dp4a(0x01ff7f80, 0x02037f80, 5), 5 + 2 - 3 + 127 * 127 + 128 * 128);
  EXPECT_EQ(__dp4a(0xff01u, 0x0203u, 1u), 1u + 255 * 2 + 3);
  EXPECT_EQ(__byte_perm(0x33221100u, 0x77665544u, 0x7041u), 0x77004411u);
  EXPECT_EQ(__popc(0xf0f0u), 8);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__float2ll_rn(2.5f), 2);
  EXPECT_EQ(__float2ll_rn(1e30f), INT64_MAX);
  EXPECT_EQ(__float2int_rn(-3.5f), -4);
  EXPECT_EQ(__float_as_int(__int_as_float(0x12345678)), 0x12345678);
  EXPECT_EQ(min(3, 4u), 3u);
  EXPECT_EQ(max(1.5f, std::nanf("")), 1.5f);
}

TEST(DeviceFunctionsTest, VectorTypesHaveTheAlignmentOfCuda) {
  EXPECT_EQ(alignof(uint4), 16u);
  EXPECT_EQ(alignof(float4), 16u);
  EXPECT_EQ(alignof(int2), 8u);
  EXPECT_EQ(alignof(uint3), 4u);
  EXPECT_EQ(sizeof(uint3), 12u);
}

// ---- Kernels with a planted bug

// SumRows without its barrier: the first thread adds what the others have not written yet.
__global__ void SumWithoutBarrier(float* y) {
  HEARTH_SHARED(float[64], part);
  part[threadIdx.x] = 1.0f;
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (int i = 0; i < 64; i++) sum += part[i];
  *y = sum;
}

float RunSumWithoutBarrier(ThreadOrder order) {
  SetThreadOrder(order, 3);
  const DeviceArray<float> y(1);
  Launch(SumWithoutBarrier, dim3(1), dim3(64), 0, nullptr, y.data());
  return y.Read()[0];
}

TEST_F(EmulatorTest, MissingBarrierGivesPoisonInSomeOrder) {
  if (kThreadSanitizer) GTEST_SKIP() << "there it is a data race";
  EXPECT_TRUE(std::isnan(RunSumWithoutBarrier(ThreadOrder::kForward)));
  EXPECT_TRUE(std::isnan(RunSumWithoutBarrier(ThreadOrder::kRandom)));
  EXPECT_EQ(RunSumWithoutBarrier(ThreadOrder::kReverse), 64.0f);
}

TEST_F(EmulatorTest, MissingBarrierIsADataRaceInEveryOrder) {
  if (!kThreadSanitizer) GTEST_SKIP() << "only ThreadSanitizer sees it";
  for (const ThreadOrder order : {ThreadOrder::kForward, ThreadOrder::kReverse, ThreadOrder::kRandom}) {
    EXPECT_EXIT(
        {
          RunSumWithoutBarrier(order);
          exit(0);
        },
        ::testing::ExitedWithCode(66), "data race");
  }
}

// Each lane tells the others its value through shared memory, without __syncwarp.
template <bool kWaits>
__global__ void ExchangeInWarp(int* y) {
  HEARTH_SHARED(int[32], values);
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kWaits) __syncwarp();
  y[threadIdx.x] = values[31 - threadIdx.x];
}

TEST_P(EveryOrderTest, SyncwarpOrdersMemory) {
  const DeviceArray<int> y(32);
  ASSERT_EQ(Launch(ExchangeInWarp<true>, dim3(1), dim3(32), 0, nullptr, y.data()), cudaSuccess);
  for (int i = 0; i < 32; i++) EXPECT_EQ(y.Read()[static_cast<size_t>(i)], 31 - i);
}

TEST_P(EveryOrderTest, MissingSyncwarpGivesPoison) {
  if (kThreadSanitizer) GTEST_SKIP() << "there it is a data race";
  const DeviceArray<int> y(32);
  ASSERT_EQ(Launch(ExchangeInWarp<false>, dim3(1), dim3(32), 0, nullptr, y.data()), cudaSuccess);
  EXPECT_THAT(y.Read(), ::testing::Contains(-1));
}

__global__ void SumWithWrongShuffle(float* y) {
  float sum = 1.0f;
  for (int lanes = 8; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
  if (threadIdx.x == 0) *y = sum;
}

TEST_P(EveryOrderTest, ShuffleOverHalfOfTheLanesMissesTheOthers) {
  const DeviceArray<float> y(1);
  ASSERT_EQ(Launch(SumWithWrongShuffle, dim3(1), dim3(32), 0, nullptr, y.data()), cudaSuccess);
  EXPECT_EQ(y.Read()[0], 16.0f);
}

__global__ void ShuffleFromOutsideOfTheMask(int* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, static_cast<int>(threadIdx.x) + 8);
}

TEST_P(EveryOrderTest, ShuffleFromALaneOutsideOfTheMaskGivesPoison) {
  const DeviceArray<int> y(16);
  ASSERT_EQ(Launch(ShuffleFromOutsideOfTheMask, dim3(1), dim3(32), 0, nullptr, y.data()), cudaSuccess);
  EXPECT_THAT(y.Read(), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1));
}

constexpr int kFirstShuffleLine = __LINE__ + 3;
__global__ void ShuffleInABranch(float* y) {
  if (threadIdx.x < 16) {
    *y = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
  } else {
    *y = __shfl_xor_sync(0xffffffffu, 2.0f, 1);
  }
}

TEST_P(EveryOrderTest, ShuffleInADivergentBranchIsReportedWithItsLine) {
  const DeviceArray<float> y(1);
  Launch(ShuffleInABranch, dim3(1), dim3(32), 0, nullptr, y.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  const std::string report = TakeReports();
  EXPECT_THAT(report,
              HasSubstr("lanes of one mask are in different warp operations, one in __shfl_xor_sync"));
  EXPECT_THAT(report, HasSubstr(Line(kFirstShuffleLine)));
  EXPECT_THAT(report, HasSubstr(Line(kFirstShuffleLine + 2)));
  EXPECT_THAT(report, HasSubstr("in ShuffleInABranch, block (0,0,0), thread ("));
  EXPECT_THAT(report, HasSubstr("mask 0xffffffff"));
}

__global__ void TwoBarriers(int* y) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  *y = 1;
}

TEST_P(EveryOrderTest, DifferentBarriersInOneBlockAreReported) {
  const DeviceArray<int> y(1);
  Launch(TwoBarriers, dim3(1), dim3(64), 0, nullptr, y.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(), HasSubstr("threads of one block wait at different __syncthreads"));
}

constexpr int kExitedLaneLine = __LINE__ + 3;
__global__ void ShuffleAfterAnExit(float* y) {
  if (threadIdx.x >= 24) return;
  *y = __shfl_down_sync(0xffffffffu, 1.0f, 1);
}

TEST_P(EveryOrderTest, ExitedLaneInAMaskIsReported) {
  const DeviceArray<float> y(1);
  Launch(ShuffleAfterAnExit, dim3(1), dim3(32), 0, nullptr, y.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  const std::string report = TakeReports();
  EXPECT_THAT(report, HasSubstr("exited"));
  EXPECT_THAT(report, HasSubstr("__shfl_down_sync"));
  EXPECT_THAT(report, HasSubstr(Line(kExitedLaneLine)));
}

__global__ void WrongMask(float* y, unsigned mask) { *y = __shfl_xor_sync(mask, 1.0f, 1); }

TEST_P(EveryOrderTest, LaneThatIsNotInItsOwnMaskIsReported) {
  const DeviceArray<float> y(1);
  Launch(WrongMask, dim3(1), dim3(32), 0, nullptr, y.data(), 0x0000ffffu);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(), HasSubstr("the calling lane is not in the mask of __shfl_xor_sync, 0x0000ffff"));
}

TEST_P(EveryOrderTest, LanesThatTheBlockDoesNotHaveAreReported) {
  const DeviceArray<float> y(1);
  Launch(WrongMask, dim3(1), dim3(48), 0, nullptr, y.data(), 0xffffffffu);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(), HasSubstr("lanes that the block does not have are in the mask"));
}

__global__ void BarrierAndShuffle(float* y) {
  if (threadIdx.x < 8) __syncthreads();
  *y = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}

TEST_P(EveryOrderTest, DeadlockIsReportedWithEveryThread) {
  const DeviceArray<float> y(1);
  Launch(BarrierAndShuffle, dim3(1), dim3(32), 0, nullptr, y.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  const std::string report = TakeReports();
  EXPECT_THAT(report, HasSubstr("deadlock: every thread of block (0,0,0) waits"));
  EXPECT_THAT(report, HasSubstr("threads 0-7: waits in __syncthreads at"));
  EXPECT_THAT(report, HasSubstr("threads 8-31: waits in __shfl_xor_sync at"));
}

TEST_P(EveryOrderTest, DeviceWorksOnAfterAReportIsCleared) {
  const DeviceArray<float> y(1);
  Launch(ShuffleInABranch, dim3(1), dim3(32), 0, nullptr, y.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure) << "the error of a launch stays";
  TakeReports();
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  const DeviceArray<float> x(std::vector<float>(64, 1.0f));
  ASSERT_EQ(Launch(SumRows<64>, dim3(1), dim3(64), 0, nullptr, x.data(), y.data(), 64), cudaSuccess);
  EXPECT_EQ(y.Read()[0], 64.0f);
}

__global__ void TrapInTheLastThread() {
  if (threadIdx.x == 40) __trap();
  __syncthreads();
}

TEST_P(EveryOrderTest, TrapIsReportedWithItsThread) {
  Launch(TrapInTheLastThread, dim3(1), dim3(41), 0, nullptr);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(), HasSubstr("in TrapInTheLastThread, block (0,0,0), thread (40,0,0)"));
}

__global__ void ShareTooMuch(int* y) {
  HEARTH_SHARED(int[10000], first);
  HEARTH_SHARED(int[3000], second);
  first[threadIdx.x] = 1;
  second[threadIdx.x] = 2;
  *y = first[0];
}

TEST_F(EmulatorTest, TooMuchStaticSharedMemoryIsReported) {
  const DeviceArray<int> y(1);
  Launch(ShareTooMuch, dim3(1), dim3(1), 0, nullptr, y.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(), HasSubstr("more shared memory than the device allows"));
}

__global__ void CopyUnaligned(const char* source) {
  HEARTH_SHARED(uint4[1], copy);
  CopyAsync16(copy, source + 4);
}

TEST_F(EmulatorTest, UnalignedAsynchronousCopyIsReported) {
  const DeviceArray<char> source(64);
  Launch(CopyUnaligned, dim3(1), dim3(1), 0, nullptr, source.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(), HasSubstr("an address of CopyAsync16 is not a multiple of 16"));
}

__global__ void CopyToDeviceMemory(uint4* target, const uint4* source) { CopyAsync16(target, source); }

TEST_F(EmulatorTest, AsynchronousCopyToDeviceMemoryIsReported) {
  const DeviceArray<uint4> x(2);
  Launch(CopyToDeviceMemory, dim3(1), dim3(1), 0, nullptr, x.data(), x.data() + 1);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(TakeReports(), HasSubstr("the target of CopyAsync16 is not in shared memory"));
}

// ---- Accesses that end the process

__global__ void ReadAt(const int* x, int* y, size_t index) { *y = x[index]; }

// Reads x[index] of 64 values.
void RunReadAt(size_t index) {
  const DeviceArray<int> x(64), y(1);
  Launch(ReadAt, dim3(1), dim3(1), 0, nullptr, x.data(), y.data(), index);
  cudaDeviceSynchronize();
}

TEST(EmulatorDeathTest, ReadPastTheEndOfDeviceMemoryEndsTheProcess) {
  if (kAddressSanitizer) {
    EXPECT_DEATH(RunReadAt(64), "heap-buffer-overflow");
  } else {
    EXPECT_EXIT(
        RunReadAt(64), ::testing::ExitedWithCode(86),
        "a kernel touched .*past the end of an allocation of device memory\n.*block .0,0,0., thread .0,0,0.");
  }
}

// Reads where no pointer argument points.
__global__ void ReadAddress(uintptr_t address, int* y) { *y = *reinterpret_cast<const int*>(address); }

TEST(EmulatorDeathTest, ReadOfAFreedAllocationEndsTheProcess) {
  const auto read_freed = [] {
    const DeviceArray<int> y(1);
    int* x = nullptr;
    cudaMalloc(&x, 64);
    cudaFree(x);
    Launch(ReadAddress, dim3(1), dim3(1), 0, nullptr, reinterpret_cast<uintptr_t>(x), y.data());
    cudaDeviceSynchronize();
  };
  if (kAddressSanitizer) {
    EXPECT_DEATH(read_freed(), "heap-use-after-free");
  } else {
    EXPECT_EXIT(read_freed(), ::testing::ExitedWithCode(86), "a kernel touched");
  }
}

TEST(EmulatorDeathTest, HostThatTouchesDeviceMemoryEndsTheProcess) {
  if (kAddressSanitizer) GTEST_SKIP() << "device memory is ordinary memory there";
  const DeviceArray<int> x(64);
  EXPECT_EXIT(x.data()[3] = 1, ::testing::ExitedWithCode(86), "host code touched .*in device memory");
}

TEST(EmulatorDeathTest, KernelThatTouchesAnotherDeviceEndsTheProcess) {
  if (kAddressSanitizer) GTEST_SKIP() << "device memory is ordinary memory there";
  const auto touch_other_device = [] {
    SetDevices({{}, {}});
    int* x = nullptr;
    cudaMalloc(&x, 64);
    cudaSetDevice(1);
    const DeviceArray<int> y(1);
    Launch(ReadAddress, dim3(1), dim3(1), 0, nullptr, reinterpret_cast<uintptr_t>(x), y.data());
    cudaDeviceSynchronize();
  };
  EXPECT_EXIT(touch_other_device(), ::testing::ExitedWithCode(86), "a kernel touched .*in device memory");
}

__global__ void LoadUnaligned(const char* x, int* y) {
  const uint4 words = *reinterpret_cast<const uint4*>(x + 4);
  *y = static_cast<int>(words.x);
}

TEST(EmulatorDeathTest, UnalignedVectorLoadIsSeenByUndefinedBehaviorSanitizer) {
#if defined(HEARTH_TEST_UBSAN) && !defined(__clang__)  // clang's does not check copies of whole structs
  const auto load = [] {
    const DeviceArray<char> x(64);
    const DeviceArray<int> y(1);
    Launch(LoadUnaligned, dim3(1), dim3(1), 0, nullptr, x.data(), y.data());
    cudaDeviceSynchronize();
  };
  EXPECT_DEATH(load(), "misaligned address");
#else
  (void)LoadUnaligned;
  GTEST_SKIP() << "only UndefinedBehaviorSanitizer sees it";
#endif
}

// Needs more and more of its stack.
__device__ int Recurse(int depth) {
  volatile char room[1024];
  room[depth % 1024] = static_cast<char>(depth);
  return depth == 0 ? room[0] : Recurse(depth - 1) + room[depth % 1024];
}

__global__ void OverflowTheStack(int* y) { *y = Recurse(100000); }

TEST(EmulatorDeathTest, OverflowOfAThreadsStackEndsTheProcess) {
  const auto overflow = [] {
    const DeviceArray<int> y(1);
    Launch(OverflowTheStack, dim3(1), dim3(1), 0, nullptr, y.data());
    cudaDeviceSynchronize();
  };
  if (kAddressSanitizer || kThreadSanitizer) {
    EXPECT_DEATH(overflow(), "");
  } else {
    EXPECT_EXIT(overflow(), ::testing::ExitedWithCode(86), "a kernel touched .*the end of its stack");
  }
}

__global__ void OverrunDynamicShared(int* y) {
  HEARTH_DYNAMIC_SHARED(int, values);
  *y = values[blockDim.x];
}

TEST(EmulatorDeathTest, ReadPastTheEndOfDynamicSharedMemoryEndsTheProcess) {
  const auto overrun = [] {
    const DeviceArray<int> y(1);
    Launch(OverrunDynamicShared, dim3(1), dim3(32), 32 * sizeof(int), nullptr, y.data());
    cudaDeviceSynchronize();
  };
  if (kAddressSanitizer) {
    EXPECT_DEATH(overrun(), "AddressSanitizer");
  } else {
    EXPECT_EXIT(overrun(), ::testing::ExitedWithCode(86), "past the end of dynamic shared memory");
  }
}

__global__ void OverrunStaticShared(int* y, int index) {
  HEARTH_SHARED(int[8], values);
  values[threadIdx.x] = 1;
  *y = values[index];
}

TEST(EmulatorDeathTest, ReadPastTheEndOfAStaticSharedArrayIsSeenByAddressSanitizer) {
  if (!kAddressSanitizer) GTEST_SKIP() << "only AddressSanitizer sees it";
  const auto overrun = [] {
    const DeviceArray<int> y(1);
    Launch(OverrunStaticShared, dim3(1), dim3(8), 0, nullptr, y.data(), 8);
    cudaDeviceSynchronize();
  };
  EXPECT_DEATH(overrun(), "AddressSanitizer|out of bounds");
}

TEST(EmulatorDeathTest, ReportWithoutAHandlerEndsTheProcess) {
  const auto diverge = [] {
    const DeviceArray<float> y(1);
    Launch(ShuffleInABranch, dim3(1), dim3(32), 0, nullptr, y.data());
    cudaDeviceSynchronize();
  };
  EXPECT_EXIT(diverge(), ::testing::ExitedWithCode(86), "cuda emulator: lanes of one mask");
}

}  // namespace
}  // namespace hearth::cuda_emu
