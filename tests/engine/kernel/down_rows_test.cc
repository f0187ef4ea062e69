#include "engine/kernel/down_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/kernel/fixed_point.h"
#include "engine/kernel/turned_rows.h"
#include "engine/quant/blocks.h"
#include "gtest/gtest.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

auto ReaderOf(const TestMatrix& m) {
  return [&m](size_t first, size_t count, uint8_t* out) {
    std::memcpy(out, m.row(first), count * m.row_bytes());
  };
}

// The columns [begin, end) of the neurons' sum, group by group.
std::vector<int64_t> Sums(const DownRows& down, const std::vector<uint32_t>& ids, std::vector<float> values,
                          const std::vector<uint32_t>& group_ends, size_t begin, size_t end) {
  std::vector<float> scales(ids.size()), buffer(down.n_embd());
  std::vector<int64_t> sums(down.n_embd());
  down.Round(ids, values.data(), scales.data());
  uint32_t group_begin = 0;
  size_t from = 0;
  for (const uint32_t group_end : group_ends) {
    size_t to = from;
    while (to < ids.size() && ids[to] < group_end) ++to;
    const FiringNeurons firing = {absl::MakeConstSpan(ids).subspan(from, to - from), values.data() + from,
                                  scales.data() + from, ids.size() - to};
    down.Accumulate(firing, group_begin, begin, end, buffer.data(), sums.data());
    group_begin = group_end;
    from = to;
  }
  return sums;
}

constexpr uint32_t kNeurons = 640;
const std::vector<uint32_t> kGroupEnds = {320, 352, 640};

// Some neurons of every group, more than a piece, some runs without any.
std::vector<uint32_t> SomeNeurons() {
  std::vector<uint32_t> ids;
  for (uint32_t id = 1; id < kNeurons; id += id < 400 ? 3 : 70) ids.push_back(id);
  return ids;
}

TEST(TurnedDownRows, GiveTheBitsOfTheDenseProduct) {
  ForEachTarget([] {
    ThreadPool pool(2);
    for (const TensorType type :
         {TensorType::kF32, TensorType::kF16, TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ4_0}) {
      SCOPED_TRACE(TypeName(type));
      for (const size_t n_embd : {32, 544, 300}) {
        if (!TurnedRows::Has(type, n_embd)) continue;
        const TestMatrix m = RandomMatrix(type, n_embd, kNeurons, 1);
        const DownRows down = *DownRows::Turn(type, n_embd, kNeurons, ReaderOf(m), pool);
        const std::vector<uint32_t> ids = SomeNeurons();
        const std::vector<float> values = RandomFloats(ids.size(), 2);
        std::vector<float> hidden(kNeurons);
        for (size_t i = 0; i < ids.size(); ++i) hidden[ids[i]] = values[i];
        const Matrix matrix = *Matrix::Pack(type, n_embd, kNeurons, m.blocks(), pool);
        Activations x;
        x.Set(hidden.data(), 1, kNeurons, kNeurons);
        std::vector<int64_t> expected(n_embd);
        MatMulFixedPoint(pool, x, matrix, kGroupEnds, expected.data(), n_embd);
        EXPECT_EQ(Sums(down, ids, values, kGroupEnds, 0, n_embd), expected) << n_embd;
      }
    }
  });
}

TEST(DownRowsByNeuron, AddTheScaledRowsForEveryType) {
  ForEachTarget([] {
    ThreadPool pool(1);
    for (const TypeInfo& info : AllTypes()) {
      SCOPED_TRACE(TypeName(info.type));
      for (const size_t n_embd : {size_t{256}, size_t{768}, info.block_values == 1 ? size_t{301} : 512}) {
        const TestMatrix m = RandomMatrix(info.type, 20, n_embd, 3);
        const DownRows down =
            *DownRows::ByNeuron(info.type, 20, n_embd, ReaderOf(m), pool, Arithmetic::kFloat32);
        const std::vector<uint32_t> ids = {0, 1, 3, 4, 5, 6, 7, 9, 12, 13, 19};
        const std::vector<float> values = RandomFloats(ids.size(), 4);
        const std::vector<int64_t> sums = Sums(down, ids, values, {20}, 0, n_embd);
        for (size_t c = 0; c < n_embd; ++c) {
          double exact = 0, magnitude = 0;
          for (size_t i = 0; i < ids.size(); ++i) {
            const double product = double{m.values[ids[i] * n_embd + c]} * values[i];
            exact += product;
            magnitude += std::fabs(product);
          }
          // A rounding for each factor, product and addition, and that of the fixed point.
          EXPECT_NEAR(static_cast<double>(sums[c]) * kFixedPointInverse, exact,
                      (ids.size() + 3) * kRounding * magnitude + kFixedPointInverse);
        }
      }
    }
  });
}

// What rounding factors to 16 bits costs: half a step each, of the largest one in a run of 32 outputs, times
// the codes.
TEST(DownRowsByNeuron, SumsOfCodesAreThoseOfValuesWithinHalfAStepOfEachFactor) {
  ForEachTarget([] {
    ThreadPool pool(2);
    for (const TensorType type : {TensorType::kQ4_0, TensorType::kQ8_0}) {
      const float largest_code = type == TensorType::kQ4_0 ? 8 : 128;
      for (const size_t n_embd : {32, 256, 544}) {
        const TestMatrix m = RandomMatrix(type, kNeurons, n_embd, 3);
        const std::vector<uint32_t> ids = SomeNeurons();
        const std::vector<float> values = RandomFloats(ids.size(), 4);
        const auto sums = [&](Arithmetic arithmetic) {
          return Sums(*DownRows::ByNeuron(type, kNeurons, n_embd, ReaderOf(m), pool, arithmetic), ids, values,
                      kGroupEnds, 0, n_embd);
        };
        const std::vector<int64_t> codes = sums(Arithmetic::kFast), exact = sums(Arithmetic::kFloat32);
        for (size_t c = 0; c < n_embd; ++c) {
          double magnitude = 0, largest_factor = 0;
          for (size_t i = 0; i < ids.size(); ++i) {
            magnitude += std::fabs(double{m.values[ids[i] * n_embd + c]} * values[i]);
            const size_t run = c / 32 * 32;
            for (size_t k = run; k < run + 32; ++k) {
              const double product = std::fabs(double{m.values[ids[i] * n_embd + k]} * values[i]);
              largest_factor = std::max(largest_factor, product);
            }
          }
          const double steps = static_cast<double>(ids.size()) * 0.51 * largest_factor / 32767 * largest_code;
          EXPECT_NEAR(static_cast<double>(codes[c]) * kFixedPointInverse,
                      static_cast<double>(exact[c]) * kFixedPointInverse,
                      steps + (ids.size() + 3) * kRounding * magnitude + 8 * kFixedPointInverse)
              << TypeName(type) << " " << n_embd << " " << c;
        }
      }
    }
  });
}

TEST(DownRowsByNeuron, NeuronsThatAddZeroChangeNoBit) {
  ForEachTarget([] {
    ThreadPool pool(1);
    for (const TensorType type : {TensorType::kQ4_0, TensorType::kQ8_0, TensorType::kF16}) {
      const TestMatrix m = RandomMatrix(type, 20, 256, 5);
      const DownRows down = *DownRows::ByNeuron(m.type, 20, 256, ReaderOf(m), pool);
      EXPECT_EQ(Sums(down, {2, 3, 5, 11, 12, 17}, {0.3f, 0, 1.5f, 0, 0, -2}, {10, 20}, 0, 256),
                Sums(down, {2, 5, 17}, {0.3f, 1.5f, -2}, {10, 20}, 0, 256));
    }
  });
}

// The sums of the largest codes and factors, all of one sign, of as many neurons as are summed at once.
TEST(DownRowsByNeuron, TheLargestSumsOfCodesFitTheirIntegers) {
  ForEachTarget([] {
    ThreadPool pool(1);
    constexpr size_t kCount = 300, kCols = 64;
    for (const int8_t code : {int8_t{-128}, int8_t{127}}) {
      std::vector<BlockQ8_0> blocks(kCount * kCols / 32);
      for (BlockQ8_0& block : blocks) {
        block.scale = 0x3c00;  // 1
        std::fill(std::begin(block.values), std::end(block.values), code);
      }
      const auto read = [&](size_t first, size_t count, uint8_t* out) {
        std::memcpy(out, &blocks[first * kCols / 32], count * kCols / 32 * sizeof(BlockQ8_0));
      };
      const DownRows down = *DownRows::ByNeuron(TensorType::kQ8_0, kCount, kCols, read, pool);
      std::vector<uint32_t> ids(kCount);
      for (uint32_t i = 0; i < kCount; ++i) ids[i] = i;
      const std::vector<int64_t> sums = Sums(down, ids, std::vector<float>(kCount, 1.0f), {kCount}, 0, kCols);
      for (const int64_t sum : sums) EXPECT_EQ(sum, ToFixedPoint(static_cast<float>(kCount) * code));
    }
  });
}

TEST(DownRowsByNeuron, ValuesTooSmallToCountAddNothing) {
  ThreadPool pool(1);
  const TestMatrix m = RandomMatrix(TensorType::kQ4_0, 20, 256, 5);
  const DownRows down = *DownRows::ByNeuron(m.type, 20, 256, ReaderOf(m), pool);
  EXPECT_EQ(Sums(down, {2, 5}, {1e-39f, 0.0f}, {20}, 0, 256), std::vector<int64_t>(256, 0));
}

TEST(DownRows, ColumnsAreComputedAloneAsTogether) {
  ThreadPool pool(1);
  const size_t n_embd = 3 * DownRows::kColumnStep + 96;
  const TestMatrix m = RandomMatrix(TensorType::kQ8_0, 20, n_embd, 6);
  const DownRows down = *DownRows::ByNeuron(m.type, 20, n_embd, ReaderOf(m), pool);
  const std::vector<uint32_t> ids = {2, 3, 5, 11, 12, 17};
  const std::vector<float> values = RandomFloats(ids.size(), 7);
  const std::vector<int64_t> all = Sums(down, ids, values, {20}, 0, n_embd);
  for (size_t begin = 0; begin < n_embd; begin += DownRows::kColumnStep) {
    const size_t end = std::min(n_embd, begin + DownRows::kColumnStep);
    const std::vector<int64_t> part = Sums(down, ids, values, {20}, begin, end);
    for (size_t c = 0; c < n_embd; ++c) EXPECT_EQ(part[c], c >= begin && c < end ? all[c] : 0);
  }
}

TEST(TurnedDownRows, ExistOnlyForTypesWhoseCodesStandByThemselves) {
  EXPECT_TRUE(TurnedRows::Has(TensorType::kQ4_0, 96));
  EXPECT_FALSE(TurnedRows::Has(TensorType::kQ8_0, 80));
  EXPECT_FALSE(TurnedRows::Has(TensorType::kQ4_K, 256));
  EXPECT_TRUE(TurnedRows::Has(TensorType::kF16, 80));
}

}  // namespace
}  // namespace hearth
