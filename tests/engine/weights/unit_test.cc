#include "engine/weights/unit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A float32 tensor (rows, cols) whose value at (r, c) is 100 r + c.
class UnitTest : public ::testing::Test {
 protected:
  UnitTest() {
    std::vector<float> values;
    for (int r = 0; r < 6; ++r) {
      for (int c = 0; c < 4; ++c) values.push_back(static_cast<float>(100 * r + c));
    }
    bytes_.resize(values.size() * sizeof(float));
    std::memcpy(bytes_.data(), values.data(), bytes_.size());
    tensor_.name = "t";
    tensor_.ne = {4, 6, 1, 1};
    tensor_.dimensions = 2;
    tensor_.data = bytes_;
  }

  UnitWeights FromFile(Axis axis, std::vector<IndexRange> runs) {
    return *UnitFromFile({{tensor_, axis, runs}});
  }
  // The same through its bundle, without the tensor's data.
  UnitWeights FromBundle(Axis axis, std::vector<IndexRange> runs) {
    UnitParts parts = {{tensor_, axis, runs}};
    std::vector<uint8_t> bundle = ExtractBundle(parts, *MakeUnitLayout(parts));
    parts[0].tensor.data = {};
    return *UnitFromBundle(parts, bundle);
  }

  static std::vector<float> Values(const TensorSet& set) {
    const GgufTensor& tensor = *set.Find("t");
    std::vector<float> values(tensor.values());
    std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(float));
    return values;
  }

  std::vector<uint8_t> bytes_;
  GgufTensor tensor_;
};

TEST_F(UnitTest, RowsOfSeveralUnitsFollowRunByRun) {
  for (const bool bundles : {false, true}) {
    const auto unit = [&](std::vector<IndexRange> runs) {
      return bundles ? FromBundle(Axis::kRows, runs) : FromFile(Axis::kRows, runs);
    };
    // Two runs each, as a tensor has that stacks two matrices.
    const TensorSet set = JoinUnits({unit({{0, 1}, {3, 4}}), unit({{2, 3}, {5, 6}})});
    EXPECT_EQ(set.Find("t")->ne[1], 4u);
    EXPECT_THAT(Values(set),
                ElementsAre(0, 1, 2, 3, 200, 201, 202, 203, 300, 301, 302, 303, 500, 501, 502, 503));
  }
}

TEST_F(UnitTest, ColumnsOfSeveralUnitsLieSideBySide) {
  for (const bool bundles : {false, true}) {
    const auto unit = [&](std::vector<IndexRange> runs) {
      return bundles ? FromBundle(Axis::kCols, runs) : FromFile(Axis::kCols, runs);
    };
    const TensorSet set = JoinUnits({unit({{3, 4}}), unit({{0, 1}})});
    EXPECT_EQ(set.Find("t")->ne[0], 2u);
    EXPECT_THAT(Values(set), ElementsAre(3, 0, 103, 100, 203, 200, 303, 300, 403, 400, 503, 500));
  }
}

TEST_F(UnitTest, WhatIsNotSharedOutIsTakenOnce) {
  const TensorSet set = JoinUnits({FromBundle(Axis::kNone, {}), FromBundle(Axis::kNone, {})});
  EXPECT_EQ(set.Find("t")->values(), 24u);
  EXPECT_EQ(Values(set)[23], 503);
}

TEST_F(UnitTest, NeighboursInTheFileAreBorrowed) {
  const TensorSet rows = JoinUnits({FromFile(Axis::kRows, {{1, 3}}), FromFile(Axis::kRows, {{3, 5}})});
  EXPECT_EQ(rows.Find("t")->data.data(), bytes_.data() + 1 * 4 * sizeof(float));
  const TensorSet cols = JoinUnits({FromFile(Axis::kCols, {{0, 3}}), FromFile(Axis::kCols, {{3, 4}})});
  EXPECT_EQ(cols.Find("t")->data.data(), bytes_.data());
  const TensorSet part = JoinUnits({FromFile(Axis::kCols, {{0, 3}})});
  EXPECT_NE(part.Find("t")->data.data(), bytes_.data());
}

TEST_F(UnitTest, PartsStartAtMultiplesOf64Bytes) {
  const UnitParts parts = {{tensor_, Axis::kRows, {{0, 1}}}, {tensor_, Axis::kCols, {{0, 1}}}};
  const UnitLayout layout = *MakeUnitLayout(parts);
  EXPECT_THAT(layout.offsets, ElementsAre(0, 64));
  EXPECT_EQ(layout.bytes, 128u);
}

TEST_F(UnitTest, RunsThatLeaveTheTensorAreRefused) {
  for (const TensorPart& part : std::vector<TensorPart>{{tensor_, Axis::kRows, {{5, 7}}},
                                                        {tensor_, Axis::kRows, {{3, 2}}},
                                                        {tensor_, Axis::kCols, {{0, 5}}}}) {
    const auto layout = MakeUnitLayout({part});
    EXPECT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(layout.status().message()), HasSubstr("tensor t"));
  }
}

TEST_F(UnitTest, ColumnsThatCutABlockAreRefused) {
  tensor_.type = TensorType::kQ8_0;
  tensor_.ne = {64, 2, 1, 1};
  EXPECT_TRUE(MakeUnitLayout({{tensor_, Axis::kCols, {{32, 64}}}}).ok());
  EXPECT_FALSE(MakeUnitLayout({{tensor_, Axis::kCols, {{16, 64}}}}).ok());
}

TEST_F(UnitTest, BundleOfAnotherSizeIsRefused) {
  const UnitParts parts = {{tensor_, Axis::kRows, {{0, 1}}}};
  EXPECT_FALSE(UnitFromBundle(parts, std::vector<uint8_t>(16)).ok());
  EXPECT_TRUE(UnitFromBundle(parts, std::vector<uint8_t>(64)).ok());
}

}  // namespace
}  // namespace hearth
