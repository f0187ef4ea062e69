#include "engine/kernel/neuron_rows.h"

#include <cmath>
#include <limits>
#include <vector>

#include "engine/kernel/fixed_point.h"
#include "gtest/gtest.h"
#include "tests/engine/kernel/kernel_test_util.h"

namespace hearth {
namespace {

// Column counts that a type allows: small, odd numbers of vectors, and more than one dequantised piece.
std::vector<size_t> ColumnCounts(TensorType type) {
  const size_t block = GetTypeInfo(type).block_values;
  if (block == 1) return {1, 15, 31, 33, 64, 100, 1029};
  return {block, 3 * block, 1024 + block};
}

TEST(DotRows, MatchesTheDequantisedProductForEveryType) {
  ForEachTarget([] {
    for (const TypeInfo& info : AllTypes()) {
      const TensorType type = info.type;
      SCOPED_TRACE(TypeName(type));
      for (const size_t cols : ColumnCounts(type)) {
        const TestMatrix m = RandomMatrix(type, 5, cols, 1);
        const std::vector<float> x = RandomFloats(cols, 2);
        const std::vector<uint32_t> ids = {4, 0, 2};
        std::vector<float> out(ids.size());
        DotRows(type, m.row(0), m.row_bytes(), cols, ids, x.data(), out.data());
        for (size_t i = 0; i < ids.size(); ++i) {
          double exact = 0, magnitude = 0;
          for (size_t c = 0; c < cols; ++c) {
            const double product = double{m.values[ids[i] * cols + c]} * x[c];
            exact += product;
            magnitude += std::fabs(product);
          }
          EXPECT_NEAR(out[i], exact, (cols / 32.0 + 8) * kRounding * magnitude + kSmallestNormal)
              << cols << " columns";
        }
      }
    }
  });
}

TEST(DotRows, WritesNothingWithoutIds) {
  float out = 7;
  const TestMatrix m = RandomMatrix(TensorType::kQ4_0, 1, 32, 1);
  DotRows(m.type, m.row(0), m.row_bytes(), 32, {}, nullptr, &out);
  EXPECT_EQ(out, 7);
}

TEST(AccumulateRows, AddsTheScaledRowsForEveryType) {
  ForEachTarget([] {
    for (const TypeInfo& info : AllTypes()) {
      const TensorType type = info.type;
      SCOPED_TRACE(TypeName(type));
      for (const size_t cols : ColumnCounts(type)) {
        const TestMatrix m = RandomMatrix(type, 4, cols, 3);
        const std::vector<uint32_t> ids = {3, 1, 3};
        const std::vector<float> factors = {0.5f, -1.25f, 0.1f};
        const std::vector<float> start = RandomFloats(cols, 4);
        std::vector<float> y = start;
        AccumulateRows(type, m.row(0), m.row_bytes(), cols, ids, factors.data(), y.data());
        for (size_t c = 0; c < cols; ++c) {
          double exact = start[c], magnitude = std::fabs(start[c]);
          for (size_t i = 0; i < ids.size(); ++i) {
            const double product = double{m.values[ids[i] * cols + c]} * factors[i];
            exact += product;
            magnitude += std::fabs(product);
          }
          EXPECT_NEAR(y[c], exact, 6 * kRounding * magnitude + kSmallestNormal) << cols << " columns";
        }
      }
    }
  });
}

TEST(AccumulateRows, GivesTheSameBitsInOneCallAndInSeveral) {
  ForEachTarget([] {
    const TestMatrix m = RandomMatrix(TensorType::kQ8_0, 3, 96, 5);
    const std::vector<float> factors = {0.3f, 0.7f, -2.0f};
    std::vector<float> together(96, 0.0f), apart(96, 0.0f);
    AccumulateRows(m.type, m.row(0), m.row_bytes(), 96, {0, 1, 2}, factors.data(), together.data());
    for (uint32_t id = 0; id < 3; ++id) {
      AccumulateRows(m.type, m.row(0), m.row_bytes(), 96, {id}, &factors[id], apart.data());
    }
    EXPECT_EQ(together, apart);
  });
}

TEST(AddToFixedPoint, AgreesWithTheScalarConversion) {
  ForEachTarget([] {
    std::vector<float> y = RandomFloats(37, 6, 1000);
    y[3] = std::numeric_limits<float>::quiet_NaN();
    y[5] = std::numeric_limits<float>::infinity();
    y[7] = -1e20f;
    y[9] = 0x1.8p-32f;
    std::vector<int64_t> sums(y.size(), 5);
    AddToFixedPoint(y.data(), y.size(), sums.data());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(sums[i], AddFixedPoint(5, ToFixedPoint(y[i]))) << y[i];
  });
}

TEST(FixedPointToFloat, AgreesWithTheScalarConversion) {
  ForEachTarget([] {
    std::vector<int64_t> sums;
    for (const float v : RandomFloats(37, 7, 1e6)) sums.push_back(ToFixedPoint(v) + 1);
    sums[2] = std::numeric_limits<int64_t>::min();
    sums[4] = std::numeric_limits<int64_t>::max();
    std::vector<float> y(sums.size());
    FixedPointToFloat(sums.data(), sums.size(), y.data());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], FromFixedPoint(sums[i]));
  });
}

}  // namespace
}  // namespace hearth
