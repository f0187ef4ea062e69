#include "engine/quant/types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr TensorType kUnknown = static_cast<TensorType>(4);  // a type that the format once had

TEST(TypesTest, EveryTypeIsFoundByNumberAndName) {
  std::set<TensorType> numbers;
  for (const TypeInfo& info : AllTypes()) {
    EXPECT_TRUE(numbers.insert(info.type).second) << info.name;
    EXPECT_EQ(FindTypeInfo(info.type), &info);
    EXPECT_EQ(ParseTypeName(info.name), info.type);
    EXPECT_THAT(SupportedTypeNames(), HasSubstr(std::string(info.name)));
  }
  EXPECT_EQ(numbers.size(), 28u);
}

TEST(TypesTest, UnknownNumbersAndNamesAreNotFound) {
  EXPECT_EQ(FindTypeInfo(kUnknown), nullptr);
  EXPECT_EQ(ParseTypeName("Q4_2"), std::nullopt);
  EXPECT_EQ(ParseTypeName("q4_0"), std::nullopt);
  EXPECT_EQ(ParseTypeName(""), std::nullopt);
}

TEST(TypesTest, RowBytesCountsBlocks) {
  EXPECT_EQ(*RowBytes(TensorType::kF32, 3), 12u);
  EXPECT_EQ(*RowBytes(TensorType::kBF16, 3), 6u);
  EXPECT_EQ(*RowBytes(TensorType::kQ4_0, 64), 36u);
  EXPECT_EQ(*RowBytes(TensorType::kQ6_K, 512), 420u);
  EXPECT_EQ(*RowBytes(TensorType::kQ4_0, 0), 0u);
}

TEST(TypesTest, RowsThatDoNotDivideIntoBlocksAreRefused) {
  const auto bytes = RowBytes(TensorType::kQ4_K, 128);
  EXPECT_EQ(bytes.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(bytes.status().message()), HasSubstr("Q4_K"));
}

TEST(TypesTest, RowsWhoseBytesOverflowAreRefused) {
  const uint64_t huge = std::numeric_limits<uint64_t>::max() / 2;
  EXPECT_EQ(RowBytes(TensorType::kF32, huge).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(RowBytes(TensorType::kQ8_0, std::numeric_limits<uint64_t>::max() / 32 * 32).ok());
}

TEST(TypesDeathTest, DescribingAnUnknownTypeIsABug) { EXPECT_DEATH(GetTypeInfo(kUnknown), "check failed"); }

}  // namespace
}  // namespace hearth
