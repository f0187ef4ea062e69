#include "engine/spec/spec.h"

#include <cmath>
#include <string>
#include <vector>

#include "engine/attention/mixer.h"
#include "engine/attention/mixer_weights.h"
#include "engine/attention/rope.h"
#include "engine/spec/architectures.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ArchitecturesTest, NamesAreUniqueAndFound) {
  const std::string names = SupportedArchitectures();
  size_t count = 0;
  for (size_t begin = 0; begin < names.size(); ++count) {
    const size_t end = std::min(names.find(", ", begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    const Architecture* architecture = FindArchitecture(name);
    ASSERT_NE(architecture, nullptr) << name;
    EXPECT_EQ(architecture->name, name);
    EXPECT_EQ(names.find(", " + name + ", ", begin), std::string::npos) << name << " is listed twice";
    begin = end + 2;
  }
  EXPECT_GE(count, 66u);
  EXPECT_EQ(FindArchitecture("abacus"), nullptr);
}

TEST(AlibiSlopesTest, PowersOfTwoAreOneSeries) {
  EXPECT_THAT(AlibiSlopes(4, 8), ElementsAre(0.25f, 0.0625f, 0.015625f, 0.00390625f));
}

TEST(AlibiSlopesTest, OtherNumbersAreFilledFromTheSeriesOfHalfTheStep) {
  const std::vector<float> slopes = AlibiSlopes(6, 8);
  EXPECT_THAT(std::vector<float>(slopes.begin(), slopes.begin() + 4),
              ElementsAre(0.25f, 0.0625f, 0.015625f, 0.00390625f));
  EXPECT_FLOAT_EQ(slopes[4], 0.5f);
  EXPECT_FLOAT_EQ(slopes[5], 0.125f);
}

TEST(FirstVisibleTest, SlidingWindowsHoldTheirSizeAndChunksBegin) {
  AttentionSpec attention;
  EXPECT_EQ(FirstVisible(attention, 100), 0u);
  attention.window_kind = WindowKind::kSliding;
  attention.window = 4;
  EXPECT_EQ(FirstVisible(attention, 3), 0u);
  EXPECT_EQ(FirstVisible(attention, 4), 1u);
  attention.window_kind = WindowKind::kChunked;
  EXPECT_EQ(FirstVisible(attention, 3), 0u);
  EXPECT_EQ(FirstVisible(attention, 4), 4u);
  EXPECT_EQ(FirstVisible(attention, 7), 4u);
}

TEST(AttentionTemperatureTest, GrowsWithTheLogarithmOfWholeSteps) {
  AttentionSpec attention;
  EXPECT_EQ(AttentionTemperature(attention, 100), 1);
  attention.temperature_scale = 0.1f;
  attention.temperature_floor = 8;
  attention.temperature_offset = 1;
  EXPECT_EQ(AttentionTemperature(attention, 6), 1);
  EXPECT_FLOAT_EQ(AttentionTemperature(attention, 7), 1 + 0.1f * std::log(2.0f));
}

// The score of a query at `m` and a key at `n`, both (1, 0), with the rotations that the two distances use.
class ReRopeTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  static constexpr uint32_t kWindow = 5;

  double Score(uint32_t m, uint32_t n) {
    RopeSpec spec;
    spec.dims = 2;
    spec.rectified_window = kWindow;
    spec.rectified_interval = GetParam();
    RopeAngles angles(spec, {}, 2);
    angles.Set({m, n});
    float query[2] = {1, 0};
    float key[2] = {1, 0};
    if (m - n < kWindow) {
      angles.Rotate(0, 1, 2, 0, query);
      angles.Rotate(1, 1, 2, 0, key);
    } else {
      angles.RotateFarQuery(0, 1, 2, 0, query);
      angles.RotateFarKey(1, 1, 2, 0, key);
    }
    return static_cast<double>(query[0]) * key[0] + static_cast<double>(query[1]) * key[1];
  }
};

TEST_P(ReRopeTest, TokensTurnByTheirRectifiedDistance) {
  for (uint32_t m = 0; m < 40; ++m) {
    for (uint32_t n = 0; n <= m; ++n) {
      const double distance = m - n;
      const double beyond = GetParam() == 0 ? 0 : (distance - kWindow) / GetParam();
      EXPECT_NEAR(Score(m, n), std::cos(distance < kWindow ? distance : kWindow + beyond), 1e-6)
          << m << " " << n;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Intervals, ReRopeTest, ::testing::Values(0u, 1u, 4u));

TEST(SpecTest, SeveralValuesPerLayerMustBeAsManyAsLayers) {
  TinyModel tiny;
  tiny.Set("llama.attention.head_count", std::vector<uint64_t>{1, 1, 1});
  const auto spec = ReadModelSpec(**tiny.Build(), {});
  EXPECT_THAT(std::string(spec.status().message()), HasSubstr("3 values for 2 layers"));
}

TEST(SpecTest, MoreHeadsThanAnyModelHasAreRefused) {
  TinyModel tiny;
  tiny.Set("llama.attention.head_count", uint64_t{1 << 20});
  tiny.Set("llama.attention.key_length", uint64_t{1});
  tiny.Set("llama.attention.value_length", uint64_t{1});
  const auto spec = ReadModelSpec(**tiny.Build(), {});
  EXPECT_THAT(std::string(spec.status().message()), HasSubstr("1048576 heads"));
}

TEST(SpecTest, LayersOfOneKindShareTheirRotation) {
  const auto spec = ReadModelSpec(**TinyModel().Build(), {});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->ropes.size(), 1u);
  EXPECT_EQ(spec->layers[0].attention.rope, spec->layers[1].attention.rope);
}

TEST(SpecTest, MoreExpertsChosenThanThereAreIsRefused) {
  TinyModel tiny;
  tiny.Set("llama.expert_count", uint64_t{2});
  tiny.Set("llama.expert_used_count", uint64_t{3});
  EXPECT_THAT(std::string(ReadModelSpec(**tiny.Build(), {}).status().message()),
              HasSubstr("choose 3 of 2 experts"));
}

TEST(SpecTest, LongRopeTakesItsFactorsByTheContext) {
  TinyModel tiny;
  tiny.Set("llama.rope.scaling.original_context_length", uint64_t{128});
  tiny.AddTensor("rope_factors_long.weight", {16});
  tiny.AddTensor("rope_factors_short.weight", {16});
  EXPECT_EQ(ReadModelSpec(**tiny.Build(), {.context_length = 128})->ropes[0].factors,
            RopeFactors::kLongRopeShort);
  EXPECT_EQ(ReadModelSpec(**tiny.Build(), {.context_length = 129})->ropes[0].factors,
            RopeFactors::kLongRopeLong);
}

}  // namespace
}  // namespace hearth
