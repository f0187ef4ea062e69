#ifndef HEARTH_TESTS_ENGINE_KERNEL_KERNEL_TEST_UTIL_H_
#define HEARTH_TESTS_ENGINE_KERNEL_KERNEL_TEST_UTIL_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/kernel/simd_targets.h"
#include "engine/quant/types.h"
#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace hearth {

// Half the distance between neighbouring float32 values around 1: the largest relative error of one rounding.
inline constexpr double kRounding = 1.0 / (1 << 24);
// Below this float32 loses relative accuracy.
inline constexpr double kSmallestNormal = std::numeric_limits<float>::min();

// Runs `test` once per instruction set that this machine and this build have.
template <class Test>
void ForEachTarget(const Test& test) {
  const int64_t all = hwy::SupportedTargets();
  for (int64_t targets = all & HWY_TARGETS; targets != 0; targets &= targets - 1) {
    const int64_t target = targets & -targets;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    test();
  }
  hwy::SetSupportedTargetsForTest(0);
}

inline std::vector<float> RandomFloats(size_t count, uint32_t seed, float spread = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// A matrix in a file's layout, made of random bytes: every block that gives moderate finite numbers is as
// good as any other. The bytes start at an odd address, and the allocation ends where they end.
struct TestMatrix {
  TensorType type;
  size_t rows;
  size_t cols;
  std::vector<uint8_t> storage;
  std::vector<float> values;  // (rows, cols), dequantised

  absl::Span<const uint8_t> blocks() const { return absl::MakeConstSpan(storage).subspan(1); }
  const uint8_t* row(size_t r) const { return blocks().data() + r * row_bytes(); }
  size_t row_bytes() const { return blocks().size() / rows; }
};

inline TestMatrix RandomMatrix(TensorType type, size_t rows, size_t cols, uint32_t seed) {
  const TypeInfo& info = GetTypeInfo(type);
  const size_t count = rows * cols / info.block_values;
  TestMatrix matrix{type, rows, cols, std::vector<uint8_t>(1 + count * info.block_bytes), {}};
  matrix.values.resize(rows * cols);
  std::mt19937 random(seed);
  for (size_t b = 0; b < count; ++b) {
    const absl::Span<uint8_t> block =
        absl::MakeSpan(matrix.storage).subspan(1 + b * info.block_bytes, info.block_bytes);
    float* values = matrix.values.data() + b * info.block_values;
    bool moderate = false;
    while (!moderate) {
      for (uint8_t& byte : block) byte = static_cast<uint8_t>(random());
      Dequantize(type, block, info.block_values, values);
      moderate = true;
      for (size_t i = 0; i < info.block_values; ++i) moderate &= std::fabs(values[i]) < 64;
    }
  }
  return matrix;
}

inline std::string TypeName(TensorType type) { return std::string(GetTypeInfo(type).name); }

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_KERNEL_KERNEL_TEST_UTIL_H_
