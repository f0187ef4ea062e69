#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/quant/blocks.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr TensorType kPacked[] = {TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kQ4_K, TensorType::kQ6_K};

std::vector<float> Normal(size_t count, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    // A sum of twelve uniform numbers: close to normal and the same everywhere.
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(random()) / 4294967296.0;
    value = static_cast<float>(sum);
  }
  return values;
}

std::vector<float> RoundTrip(TensorType type, const std::vector<float>& values,
                             const std::vector<float>& importance = {}) {
  std::vector<uint8_t> bytes(*RowBytes(type, values.size()));
  const absl::Status status = Quantize(type, values, importance, absl::MakeSpan(bytes));
  EXPECT_TRUE(status.ok()) << status;
  std::vector<float> back(values.size());
  Dequantize(type, bytes, back.size(), back.data());
  return back;
}

// Root of the mean (weighted) squared error; of standard normal values.
double Error(const std::vector<float>& a, const std::vector<float>& b,
             const std::vector<float>& weights = {}) {
  double sum = 0, weight_sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double weight = weights.empty() ? 1 : weights[i];
    sum += weight * (a[i] - b[i]) * (a[i] - b[i]);
    weight_sum += weight;
  }
  return std::sqrt(sum / weight_sum);
}

TEST(QuantizeTest, FloatTypesKeepWhatTheyCanHold) {
  const std::vector<float> values = {1.5f, -2, 0, 0.25f};
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16}) {
    EXPECT_EQ(RoundTrip(type, values), values);
  }
}

TEST(QuantizeTest, ErrorOnNormalNumbersIsThatOfTheStepSize) {
  const std::vector<float> values = Normal(64 * 256);
  // A uniform step s costs s / sqrt(12). The extreme of 32 normal numbers is about 2.3 and gives s = 2.3 /
  // 127 and 2.3 / 8; the K types search around the same steps over 32 and 16 values.
  EXPECT_LT(Error(values, RoundTrip(TensorType::kQ8_0, values)), 0.0062);
  EXPECT_LT(Error(values, RoundTrip(TensorType::kQ4_0, values)), 0.096);
  EXPECT_LT(Error(values, RoundTrip(TensorType::kQ4_K, values)), 0.078);
  EXPECT_LT(Error(values, RoundTrip(TensorType::kQ6_K, values)), 0.020);
}

TEST(QuantizeTest, ImportanceMovesTheErrorToUnimportantValues) {
  const std::vector<float> values = Normal(16 * 256);
  std::vector<float> importance(values.size(), 0.01f);
  for (size_t i = 0; i < importance.size(); i += 8) importance[i] = 10;
  for (const TensorType type : {TensorType::kQ4_K, TensorType::kQ6_K}) {
    const double without = Error(values, RoundTrip(type, values), importance);
    const double with = Error(values, RoundTrip(type, values, importance), importance);
    EXPECT_LT(with, 0.95 * without) << GetTypeInfo(type).name;
  }
}

TEST(QuantizeTest, ImportanceOfZeroEverywhereIsIgnored) {
  const std::vector<float> values = Normal(256);
  const std::vector<float> none(256, 0.0f);
  for (const TensorType type : {TensorType::kQ4_K, TensorType::kQ6_K}) {
    EXPECT_EQ(RoundTrip(type, values, none), RoundTrip(type, values));
  }
}

TEST(QuantizeTest, ZerosStayZeros) {
  for (const TensorType type : kPacked) {
    EXPECT_THAT(RoundTrip(type, std::vector<float>(256, 0.0f)), Each(0.0f)) << GetTypeInfo(type).name;
  }
}

TEST(QuantizeTest, ConstantValuesAreKeptClosely) {
  for (const TensorType type : kPacked) {
    for (const float constant : {3.0f, -0.01f}) {
      const std::vector<float> values(256, constant);
      EXPECT_LT(Error(values, RoundTrip(type, values)), 0.01 * std::abs(constant)) << GetTypeInfo(type).name;
    }
  }
}

TEST(QuantizeTest, OneLargeValueAmongZerosIsKept) {
  for (const TensorType type : kPacked) {
    for (const float large : {1000.0f, -1000.0f}) {
      std::vector<float> values(256, 0.0f);
      values[77] = large;
      const std::vector<float> back = RoundTrip(type, values);
      EXPECT_NEAR(back[77], large, 15) << GetTypeInfo(type).name;
      EXPECT_NEAR(back[78], 0, 15) << GetTypeInfo(type).name;
    }
  }
}

TEST(QuantizeTest, TinyAndLargestValuesGiveFiniteBlocks) {
  for (const TensorType type : kPacked) {
    for (const float extreme : {1e-44f, 1e-9f, 65504.0f, -65504.0f}) {
      std::vector<float> values = Normal(256);
      for (float& value : values) value *= extreme / 8;
      for (const float value : RoundTrip(type, values)) EXPECT_TRUE(std::isfinite(value));
    }
  }
}

TEST(QuantizeTest, QuantisingASecondTimeCostsLessThanTheFirst) {
  const std::vector<float> values = Normal(64 * 256);
  for (const TensorType type : kPacked) {
    const std::vector<float> once = RoundTrip(type, values);
    EXPECT_LT(Error(once, RoundTrip(type, once)), 0.8 * Error(values, once)) << GetTypeInfo(type).name;
  }
}

TEST(QuantizeTest, Q8TakesTheScaleFromTheLargestValue) {
  std::vector<float> values(32, 1.0f);
  values[3] = -127;
  BlockQ8_0 block;
  ASSERT_TRUE(
      Quantize(TensorType::kQ8_0, values, {}, {reinterpret_cast<uint8_t*>(&block), sizeof(block)}).ok());
  EXPECT_EQ(HalfToFloat(block.scale), 1.0f);
  EXPECT_EQ(block.values[3], -127);
  EXPECT_EQ(block.values[4], 1);
}

TEST(QuantizeTest, ValuesThatHalfPrecisionCannotHoldAreRefused) {
  const float kBad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                        -1e6f};
  for (const float bad : kBad) {
    std::vector<float> values(256, 1.0f);
    values[9] = bad;
    for (const TensorType type : {TensorType::kF16, TensorType::kQ8_0, TensorType::kQ4_K}) {
      std::vector<uint8_t> bytes(*RowBytes(type, 256));
      const absl::Status status = Quantize(type, values, {}, absl::MakeSpan(bytes));
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(status.message()), HasSubstr("value 9"));
    }
  }
}

TEST(QuantizeTest, TypesWithoutAQuantiserAreUnimplementedAndTheOthersListed) {
  const std::vector<float> values(256, 1.0f);
  std::vector<uint8_t> bytes(*RowBytes(TensorType::kIQ2_S, 256));
  const absl::Status status = Quantize(TensorType::kIQ2_S, values, {}, absl::MakeSpan(bytes));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Q4_K"));
}

TEST(QuantizeDeathTest, OutputOfTheWrongSizeIsABug) {
  const std::vector<float> values(32, 1.0f);
  std::vector<uint8_t> bytes(17);
  EXPECT_DEATH((void)Quantize(TensorType::kQ4_0, values, {}, absl::MakeSpan(bytes)), "check failed");
}

}  // namespace
}  // namespace hearth
